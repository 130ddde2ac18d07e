"""The newest results of a run as EPICS process variables over PVA, for screens and archivers.

A thread of its own posts them, the newest of each kind and no more often than anybody looks, so
that they cost the run next to nothing. They cannot be written. Where they are served the usual
``EPICS_PVAS_...`` variables say.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from p4p.nt import NTScalar
from p4p.server import Server, StaticProvider
from p4p.server.thread import SharedPV

from ringwatch_daemon.core.errors import SinkError
from ringwatch_daemon.core.records import Event, FrameRecord, Record, RunStart, RunStop, Status
from ringwatch_daemon.sinks.result_pv_table import (
    PvKind,
    PvSpec,
    PvUpdate,
    has_fit_of_its_own,
    updates_of_event,
    updates_of_frame,
    updates_of_pattern,
    updates_of_start,
    updates_of_status,
    updates_of_stop,
    updates_of_tracks,
)

INTERVAL_S = 0.1
NS_PER_S = 1_000_000_000
DIGITS = 7
_RECORD_ALARM = 3
"""Status of an alarm that the value itself raises."""

_log = logging.getLogger(__name__)

Waiting = dict[tuple[str, str], Callable[[], Iterator[PvUpdate]]]


class ResultPvs:
    """A sink that serves results as PVs.

    Parameters
    ----------
    prefix
        What all names begin with, such as ``RW1:``.
    interval_s
        Shortest time between two values of a PV.
    network
        ``EPICS_PVAS_...`` settings instead of the environment's.

    Raises
    ------
    SinkError
        The server cannot be opened.
    """

    def __init__(
        self, prefix: str, *, interval_s: float = INTERVAL_S, network: Mapping[str, str] | None = None
    ) -> None:
        self._prefix = prefix
        self._interval_s = interval_s
        self._start: RunStart | None = None
        self._lock = threading.Lock()
        self._waiting: Waiting = {}
        self._wake, self._stop = threading.Event(), threading.Event()
        self._pvs: dict[str, SharedPV] = {}
        self._provider = StaticProvider("ringwatch")
        try:
            self._server = Server([self._provider], conf=dict(network or {}), useenv=network is None)
        except RuntimeError as error:
            raise SinkError(f"expected to serve results as {prefix}... over PVA, but got {error}") from error
        self._thread = threading.Thread(target=self._run, name="result-pvs", daemon=True)
        self._thread.start()

    def accept(self, record: Record) -> None:
        """Keep what is newest of each kind."""
        for key, updates in self._updates(record):
            with self._lock:
                self._waiting[key] = updates

    def flush(self) -> None:
        """Have it posted."""
        self._wake.set()

    def close(self) -> None:
        """Post what is left and stop serving."""
        self._stop.set()
        self._wake.set()
        self._thread.join()
        self._server.stop()

    @property
    def network(self) -> dict[str, str]:
        """Where it serves."""
        return dict(self._server.conf())

    def _updates(self, record: Record) -> Iterator[tuple[tuple[str, str], Callable[[], Iterator[PvUpdate]]]]:
        match record:
            case RunStart():
                self._start = record
                yield ("start", ""), lambda: updates_of_start(record)
            case FrameRecord():
                yield from self._updates_of_frame(record)
            case Status():
                yield ("status", ""), lambda: updates_of_status(record)
            case Event():
                yield ("event", record.cell_name), lambda: updates_of_event(record)
            case RunStop():
                yield ("stop", ""), lambda: updates_of_stop(record)

    def _updates_of_frame(
        self, record: FrameRecord
    ) -> Iterator[tuple[tuple[str, str], Callable[[], Iterator[PvUpdate]]]]:
        result, columns, cell = record.result, () if self._start is None else self._start.columns, record.cell_name
        yield ("frame", cell), lambda: updates_of_frame(record)
        if result is None:
            return
        pattern = result.pattern
        if pattern is not None:
            yield ("pattern", cell), lambda: updates_of_pattern(record, pattern)
        # A frame without a fit of its own must not take the place of one whose fit still waits.
        if has_fit_of_its_own(result):
            yield ("tracks", cell), lambda: updates_of_tracks(record, result, columns)

    # --- the thread that posts -----------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._wake.wait()
                self._wake.clear()
                self._post_waiting()
                self._stop.wait(self._interval_s)
            self._post_waiting()
        except Exception:  # noqa: BLE001 - whatever the library raises, a screen is not worth the run
            # Screens are to see that nobody serves them any more.
            _log.exception("results are served as %s... no more", self._prefix)
            self._server.stop()

    def _post_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for updates in waiting.values():
            for update in updates():
                self._post(update)

    def _post(self, update: PvUpdate) -> None:
        fields = _fields(update)
        name = self._prefix + update.spec.name
        pv = self._pvs.get(name)
        if pv is None:
            pv = _new_pv(update.spec, fields)
            self._pvs[name] = pv
            self._provider.add(name, pv)
        else:
            pv.post(fields)


def _new_pv(spec: PvSpec, fields: dict[str, Any]) -> SharedPV:
    numeric = spec.kind in {PvKind.NUMBER, PvKind.CURVE}
    display: dict[str, Any] = {"description": spec.description, "units": spec.unit}
    if numeric:
        display["precision"] = DIGITS
    return SharedPV(nt=NTScalar(spec.kind.value, display=True, form=True), initial={**fields, "display": display})


def _fields(update: PvUpdate) -> dict[str, Any]:
    seconds, nanoseconds = divmod(update.timestamp_ns, NS_PER_S)
    return {
        "value": update.value,
        "alarm": {
            "severity": int(update.severity),
            "status": _RECORD_ALARM if update.severity else 0,
            "message": update.message if update.severity else "",
        },
        "timeStamp": {"secondsPastEpoch": seconds, "nanoseconds": nanoseconds},
    }
