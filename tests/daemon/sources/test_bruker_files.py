"""Bruker's scans: five layouts, each with its angles, counts and times, and never a number from a damaged one."""

import io
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from fakes.bruker_scans import brml, raw1, raw2, raw3, raw4
from fakes.clock import ManualClock
from fakes.intake import RecordingIntake
from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.bruker_files import read_bruker
from ringwatch_daemon.sources.metadata import MetadataNames
from ringwatch_daemon.sources.scan_files import read_scans
from ringwatch_daemon.sources.scans import ScanSource, ScanSourceConfig
from ringwatch_pipelines.scans import axis_from_scan

ANGLES = 10.0 + 0.02 * np.arange(3000)
COUNTS = np.random.default_rng(4).poisson(50.0 + 400.0 * np.exp(-((ANGLES - 30.0) ** 2) / 0.02)).astype(float)
STEPS = {"start": 10.0, "step": 0.02, "counts": COUNTS}
FILES: dict[str, Callable[[], bytes]] = {
    "raw of version 1": lambda: raw1(**STEPS),
    "raw of version 2": lambda: raw2(**STEPS),
    "raw of version 3": lambda: raw3(**STEPS),
    "raw of version 4": lambda: raw4(**STEPS),
    "brml": lambda: brml(angles=ANGLES, counts=COUNTS),
}
NS = 10**9
NOON_NS = 1_723_377_600 * NS
"""2024-08-11 12:00 UTC."""


@pytest.mark.parametrize("kind", FILES)
def test_every_layout_gives_its_angles_and_counts_under_any_name(tmp_path, kind):
    path = tmp_path / "scan.xyz"
    path.write_bytes(FILES[kind]())
    (image,) = read_scans(path)
    assert image.two_theta_deg == pytest.approx(ANGLES, abs=1e-5)
    assert image.intensity.tolist() == COUNTS.tolist()
    assert image.sigma is None


@pytest.mark.parametrize("kind", FILES)
def test_angles_that_a_header_rounds_are_still_one_grid(tmp_path, kind):
    scan = scans_of(tmp_path, FILES[kind](), time_zone="UTC").frames[0]
    edges_deg = axis_from_scan(scan).edges_two_theta_deg
    assert edges_deg.size == 3001
    assert edges_deg[[0, -1]] == pytest.approx([9.99, 69.99], abs=1e-5)


def scans_of(folder: Path, content: bytes, **config: object) -> RecordingIntake:
    path = folder / "scan.raw"
    path.write_bytes(content)
    intake = RecordingIntake()
    source = ScanSource(ScanSourceConfig((str(path),), **config), ManualClock())
    source.run(intake, NeverStops())
    return intake


class NeverStops:
    def is_set(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("content", "start_ns", "duration_s"),
    [
        (raw2(**STEPS, when="08/31/2024 12:00:00", runtime_s=3600.0), NOON_NS + 20 * 86400 * NS, 3600.0),
        (raw3(**STEPS, date="08/31/2024", time="12:00:00", runtime_s=3600.0), NOON_NS + 20 * 86400 * NS, 3600.0),
        (raw4(**STEPS, date="31/08/2024", time="12:00:00"), NOON_NS + 20 * 86400 * NS, np.nan),
        (
            brml(angles=ANGLES, counts=COUNTS, started="2024-08-11T14:00:00.1234567+02:00", finished=""),
            NOON_NS + 123_456_000,
            None,
        ),
    ],
    ids=["version 2", "version 3", "version 4", "brml"],
)
def test_each_layout_gives_the_time_that_it_knows(tmp_path, content, start_ns, duration_s):
    scan = scans_of(tmp_path, content, time_zone="UTC").frames[0]
    assert scan.start_ns == start_ns
    if duration_s is not None:
        assert scan.exposure_s == pytest.approx(duration_s, nan_ok=True)


def test_the_end_of_a_brml_is_its_own(tmp_path):
    content = brml(angles=ANGLES, counts=COUNTS, started="2024-08-11T12:00:00Z", finished="2024-08-11T13:30:00Z")
    assert scans_of(tmp_path, content).frames[0].exposure_s == 5400.0


def test_a_date_that_can_be_read_in_two_ways_is_not_guessed_but_declared(tmp_path):
    content = raw3(**STEPS, date="03/04/2024", time="12:00:00")
    untold = scans_of(tmp_path, content, time_zone="UTC")
    assert untold.warned_of("FILE_TIME")
    assert "03/04/2024" in untold.warnings[0][1]
    told = scans_of(tmp_path, content, time_zone="UTC", time_pattern="%d/%m/%Y %H:%M:%S")
    assert not told.warnings
    assert told.frames[0].start_ns == 1_712_145_600 * NS


def test_several_scans_of_a_file_come_in_their_order_and_the_first_has_the_time_of_the_file(tmp_path):
    ranges = read_bruker(raw4(**STEPS, date="08/31/2024", time="12:00:00", ranges=3))
    assert [bool(image.header) for image in ranges] == [True, False, False]
    assert len(read_bruker(brml(angles=ANGLES, counts=COUNTS, scans=2))) == 2
    assert all(image.header["end_time"] for image in read_bruker(brml(angles=ANGLES, counts=COUNTS, scans=2)))


def test_a_key_of_the_header_names_the_cell_of_a_scan(tmp_path):
    path = tmp_path / "scan.xy"
    path.write_text("# Cell: A2\n# start_time: 2024-08-11T12:00:00Z\n" + "".join(f"{10 + i} 5\n" for i in range(20)))
    intake, names = RecordingIntake(), MetadataNames(cell=("Cell",), cells=(("A2", "aged"),))
    ScanSource(ScanSourceConfig((str(path),), names=names), ManualClock()).run(intake, NeverStops())
    assert intake.frames[0].cell == "aged"


def bomb() -> bytes:
    """A file of some kilobytes whose directory lists a member of 600 MiB."""
    content = bytearray(brml(angles=ANGLES[:20], counts=COUNTS[:20], more=[("Experiment0/huge.xml", b"0")]))
    struct.pack_into("<I", content, content.rindex(b"PK\x01\x02") + 24, 600 << 20)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"RAW", "version 1 to 4"),
        (b"RAW_something", "version 1 to 4"),
        (b"RAW ", "cut off"),
        (raw1(**STEPS)[:200], "expected 3000 points"),
        (raw2(**STEPS)[:300], "cut off|expected 3000 points"),
        (raw2(**STEPS).replace(b"RAW2\1\0", b"RAW2\0\0", 1), "expected a range"),
        (raw3(**STEPS)[:5000], "none that can be read"),
        (raw4(**STEPS)[:100], "none that can be read"),
        (b"PK\x03\x04", "damaged"),
        (brml(angles=ANGLES, counts=COUNTS)[:-400], "damaged"),
        (brml(angles=ANGLES, counts=COUNTS).replace(b"DataContainer", b"NataContainer"), "a zip of something else"),
        (raw1(start=np.nan, step=0.02, counts=COUNTS), "a start and a step"),
    ],
)
def test_a_damaged_file_is_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "scan.raw"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=sentence) as caught:
        read_scans(path)
    assert str(path) in str(caught.value)


def test_a_bomb_in_a_zip_is_refused_before_it_is_unpacked():
    with pytest.raises(InputFileError, match="at most 512 MiB"):
        read_bruker(bomb())


def test_a_zip_that_is_no_scan_of_bruker_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(InputFileError, match="a zip of something else"):
        read_scans(tmp_path / "book.xlsx")


@pytest.mark.parametrize("kind", FILES)
def test_no_damage_brings_the_reader_down(kind):
    whole, chance = FILES[kind](), random.Random(kind)
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 4, 64])):
            # Most of a file are points; it is the head that leads astray.
            content[chance.randrange(min(len(content), 1100))] = chance.randrange(256)
        with suppress(InputFileError):
            for image in read_bruker(bytes(content[: chance.randrange(len(content) + 1)])):
                assert image.two_theta_deg.shape == image.intensity.shape


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_no_damage_to_a_zip_brings_the_reader_down_however_it_is_packed(packed):
    whole, chance, refused = io.BytesIO(), random.Random(packed), 0
    with zipfile.ZipFile(whole, "w", packed) as file:
        file.writestr("Experiment0/DataContainer.xml", "<a>Experiment0/RawData0.xml</a>" * 40)
    for _ in range(400):
        content = bytearray(whole.getvalue())
        for _ in range(chance.choice([1, 2, 4])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        with suppress(InputFileError):
            read_bruker(bytes(content))
            refused -= 1
        refused += 1
    assert refused > 200


def test_without_geddes_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "geddes", None)
    with pytest.raises(InputFileError, match=r"ringwatch\[scans\]"):
        read_bruker(raw3(**STEPS))
    assert len(read_bruker(raw1(**STEPS))) == 1
