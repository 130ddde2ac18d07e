"""EPICS records by name: made from the table of `database`, read and posted by the detector.

softioc serves them over Channel Access and PVA. One process can hold one set of records, since
none can be added or taken away after ``iocInit``.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from softioc import builder

from ringwatch_simulators.database import Entry, Reading, Scalar, Setting

OnPut = Callable[[str, Scalar], None]


class Records:
    """The records of one IOC.

    Parameters
    ----------
    camera
        What the names of the camera's records begin with.
    since_s
        The time, seconds since 1970, from which the camera's readings stand unchanged, as if it had never been away;
        None for those that an IOC has which has just been started.
    """

    def __init__(self, camera: str, since_s: float | None = None) -> None:
        self._camera = camera
        self._since_s = since_s
        self._readings: set[str] = set()
        self._on_put: OnPut | None = None
        self._by_name: dict[str, Any] = {}
        self._readbacks: dict[str, str] = {}

    def add(self, prefix: str, entries: Iterable[Entry]) -> None:
        """Make the records of `entries` under `prefix`."""
        for entry in entries:
            if isinstance(entry, Setting):
                self._add_setting(prefix + entry.name, entry)
            else:
                self._add_reading(prefix + entry.name, entry)

    def listen(self, on_put: OnPut) -> None:
        """Tell `on_put` of each put of a client, by name and value, in the dispatcher's thread; it must not wait."""
        self._on_put = on_put

    def adopt(self, name: str, record: Any) -> None:
        """Take in a record that was made elsewhere."""
        self._by_name[name] = record

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def value(self, name: str) -> Any:
        """The value that `name` has."""
        return self._by_name[name].get()

    def post(self, name: str, value: Any) -> None:
        """Write `name` and post it to whoever monitors it."""
        if name in self._readings:
            self._by_name[name].set(value, timestamp=time.time())
        else:
            self._by_name[name].set(value)

    def date_back(self) -> None:
        """Give all readings the time since when they have stood; called before the IOC serves them."""
        for name in self._readings:
            self._by_name[name].set(self._by_name[name].get(), timestamp=self._since_s)

    def await_posted(self, name: str, text: str, timeout_s: float = 2.0) -> bool:
        """Wait until the database itself holds `text` in `name`; posts wait their turn in a queue of EPICS."""
        end_s = time.monotonic() + timeout_s
        while self._by_name[name].get_field("VAL") != text:
            if time.monotonic() > end_s:
                return False
            time.sleep(0.001)
        return True

    def post_at(self, name: str, value: Any, time_ns: int) -> None:
        """Write a stamped reading with the time that belongs to it, UTC nanoseconds since 1970."""
        self._by_name[name].set(value, timestamp=time_ns / 1e9)

    def restore(self, name: str, value: Scalar) -> None:
        """Write a setting as it was before an outage; its readback keeps the time since when it has stood."""
        self._by_name[name].set(value)
        if name in self._readbacks:
            self._by_name[self._readbacks[name]].set(value, timestamp=self._since_s)

    def _add_reading(self, name: str, entry: Reading) -> None:
        # Only the camera's: image and id are paired by the times at which the plugin's records are processed.
        if self._since_s is not None and name.startswith(self._camera) and not entry.stamped:
            self._readings.add(name)
            entry = replace(entry, stamped=True)
        self._by_name[name] = _reading(name, entry)

    def _add_setting(self, name: str, entry: Setting) -> None:
        if entry.readback:
            self._readbacks[name] = name + "_RBV"
            self._add_reading(name + "_RBV", Reading(entry.name, entry.initial, entry.choices))

        def put(value: Scalar) -> None:
            if entry.readback:
                self.post(name + "_RBV", value)
            if self._on_put is not None:
                self._on_put(name, value)

        self._by_name[name] = _setting(name, entry, put)


def _setting(name: str, entry: Setting, put: Callable[[Scalar], None]) -> Any:
    common: dict[str, Any] = {"initial_value": entry.initial, "on_update": put, "always_update": entry.momentary}
    match entry.initial:
        case bool():
            off, on = entry.choices or ("Done", "Run")
            return builder.boolOut(name, off, on, **common)
        case int() if entry.choices:
            return builder.mbbOut(name, *entry.choices, **common)
        case int():
            return builder.longOut(name, **common)
        case float():
            return builder.aOut(name, PREC=3, **common)
        case str():
            return builder.longStringOut(name, length=256, **common)


def _reading(name: str, entry: Reading) -> Any:
    common: dict[str, Any] = {"initial_value": entry.initial}
    if entry.stamped:
        common["TSE"] = -2
    match entry.initial:
        case bool():
            off, on = entry.choices or ("Done", "Run")
            return builder.boolIn(name, off, on, **common)
        case int() if entry.choices:
            return builder.mbbIn(name, *entry.choices, **common)
        case int():
            return builder.longIn(name, **common)
        case float():
            return builder.aIn(name, PREC=6, MDEL=-1, EGU=entry.unit, **common)
        case str() if entry.long:
            return builder.longStringIn(name, length=256, **common)
        case str():
            return builder.stringIn(name, **common)
