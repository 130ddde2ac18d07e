"""An intake that keeps what it was told."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ringwatch_pipelines.frames import Frame


@dataclass(frozen=True, slots=True)
class Refused:
    unique_id: int | None
    timestamp_ns: int
    reason: str
    text: str


class RecordingIntake:
    """A `FrameIntake` whose lists tests look at; `wait_for` waits until they say what is wanted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.frames: list[Frame] = []
        self.refusals: list[Refused] = []
        self.connections: list[tuple[bool, str]] = []
        self.counts: list[int | None] = []
        self.restarts = 0
        self.warnings: list[tuple[str, str]] = []

    def frame(self, frame: Frame) -> None:
        with self._changed:
            self.frames.append(frame)
            self._changed.notify_all()

    def refused(self, *, unique_id: int | None, timestamp_ns: int, reason: str, text: str) -> None:
        with self._changed:
            self.refusals.append(Refused(unique_id, timestamp_ns, str(reason), text))
            self._changed.notify_all()

    def connection(self, *, connected: bool, text: str, restarted_ns: int = 0) -> None:
        with self._changed:
            self.restarts += bool(restarted_ns)
            self.connections.append((connected, text))
            self._changed.notify_all()

    def counted(self, count: int | None) -> None:
        with self._changed:
            self.counts.append(count)
            self._changed.notify_all()

    def warning(self, *, kind: str, text: str) -> None:
        with self._changed:
            self.warnings.append((kind, text))
            self._changed.notify_all()

    @property
    def ids(self) -> list[int]:
        return [frame.unique_id for frame in self.frames]

    @property
    def reasons(self) -> list[str]:
        return [refusal.reason for refusal in self.refusals]

    @property
    def is_connected(self) -> bool:
        return bool(self.connections) and self.connections[-1][0]

    def warned_of(self, kind: str) -> bool:
        return any(told == kind for told, _ in self.warnings)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), (
                f"not seen within {timeout_s:g} s: frames {self.ids[-20:]}, refusals {self.refusals[-5:]}, "
                f"connections {self.connections}, warnings {self.warnings}"
            )
