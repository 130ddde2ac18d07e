"""A table beside the scans that tells when each began and ended."""

import csv
import re
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.times import utc_ns_from_scalar


@dataclass(frozen=True, slots=True)
class ScanLogConfig:
    """Where the table is and what its columns are called.

    Parameters
    ----------
    path
        CSV, read again for each scan: it may grow.
    scan
        Column with the name or number of the scan, as it stands in the name of its file.
    start, end
        Columns of the times; an empty `end` where there is none.
    """

    path: Path
    scan: str = "scan_number"
    start: str = "start_time"
    end: str = "end_time"


def times_from_log(config: ScanLogConfig, file: Path, *, zone: tzinfo | None) -> tuple[int, int]:
    """When the scan in a file began and ended, as UTC nanoseconds; both the same where no end is told.

    Raises
    ------
    InputFileError
        The table cannot be read, does not hold the scan, or its time cannot be understood.
    """
    try:
        with config.path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(
            f"expected the log of the scans in {config.path}, but it cannot be read: {error}"
        ) from error
    wanted = [name for name in (config.scan, config.start, config.end) if name]
    if rows and not set(wanted) <= rows[0].keys():
        raise InputFileError(f"expected the columns {', '.join(wanted)} in {config.path}, found {', '.join(rows[0])}")
    names = {file.name, file.stem, *re.split(r"[^A-Za-z0-9]+", file.stem)}
    found = [row for row in rows if (row[config.scan] or "").strip() in names]
    if len(found) != 1:
        raise InputFileError(f"expected one line for {file.name} in {config.path}, found {len(found)}")
    start_ns = _utc_ns(found[0][config.start], config, zone)
    return start_ns, _utc_ns(found[0][config.end], config, zone) if config.end else start_ns


def _utc_ns(text: str | None, config: ScanLogConfig, zone: tzinfo | None) -> int:
    stamp = utc_ns_from_scalar((text or "").strip(), zone=zone)
    if stamp.utc_ns is None:
        why = f"it {stamp.problem}" if stamp.problem else f"got {text!r}"
        raise InputFileError(f"expected a time in {config.path}, but {why}: see files.time_zone")
    return stamp.utc_ns
