"""The last step of both EPICS sources: an arrival becomes a frame, a refusal or nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from ringwatch_daemon.core.clock import NS_PER_S, Clock
from ringwatch_daemon.core.ports import FrameIntake
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.area_detector import DetectorState
from ringwatch_daemon.sources.delivery import Delivery, DeliveryFilter
from ringwatch_daemon.sources.metadata import (
    FrameDetails,
    MetadataNames,
    attributes_from_metadata,
    details_from_metadata,
    lower_keys,
)
from ringwatch_daemon.sources.refusals import FrameRefusedError
from ringwatch_daemon.sources.times import EARLIEST_NS, Scalar, StampMarks, is_set, mid_exposure_ns
from ringwatch_daemon.sources.watchdog import FrameWatchdog
from ringwatch_pipelines.frames import Frame

LONGEST_SENTENCE = 500
CLOCK_TOLERANCE_NS = 60 * NS_PER_S
"""Clocks of detector, IOC and this machine may differ by so much before it is worth a word."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came with an image.

    Parameters
    ----------
    unique_id
        None where it is unknown.
    stamp_ns
        The IOC's stamp of the frame (UTC nanoseconds since 1970), 0 where it was never set.
    data_stamp_ns
        The driver's own stamp, 0 where there is none.
    attributes
        Metadata that came with the frame itself.
    """

    unique_id: int | None
    stamp_ns: int
    data_stamp_ns: int = 0
    attributes: dict[str, Scalar] = field(default_factory=dict)


class Handover:
    """Hands frames to the intake; no frame, however bad, makes it raise.

    Parameters
    ----------
    origin
        The PV, for messages.
    """

    def __init__(
        self,
        intake: FrameIntake,
        clock: Clock,
        *,
        origin: str,
        names: MetadataNames,
        marks: StampMarks,
        state: DetectorState,
        watchdog: FrameWatchdog,
    ) -> None:
        self._intake = intake
        self._clock = clock
        self._origin = origin
        self._names = names
        self._marks = marks
        self._state = state
        self._watchdog = watchdog
        self._filter = DeliveryFilter(started_ns=clock.utc_ns())
        self._warned_of_clocks = False

    def reconnected(self) -> None:
        """The next arrival is the first of a subscription."""
        self._filter.reconnected()

    def passed_empty(self) -> None:
        """The server had no frame yet."""
        self._filter.passed_empty()

    def arrived(self, arrival: Arrival, image: Callable[[], NDArray[Any]]) -> None:
        """Take an arrival.

        Parameters
        ----------
        image
            Makes the (rows, columns) image, or raises why it cannot.
        """
        delivery = self._filter.judge(unique_id=arrival.unique_id, stamp_ns=arrival.stamp_ns)
        if delivery is Delivery.REPLAYED:
            return
        if delivery is Delivery.STALE:
            text = f"frame {arrival.unique_id} from {self._origin} was taken before the run began and is left out"
            self._intake.warning(kind="STALE_FRAME", text=text)
            return
        details = details_from_metadata(lower_keys(self._state.metadata() | arrival.attributes), self._names)
        self._watchdog.frame_came(exposure_s=details.exposure_s)
        self._take(arrival, details, image)

    def _take(self, arrival: Arrival, details: FrameDetails, image: Callable[[], NDArray[Any]]) -> None:
        received_ns = self._clock.utc_ns()
        timestamp_ns = self._timestamp_ns(arrival, details)
        cell = details.cell or self._cell_at(timestamp_ns, details.exposure_s)
        try:
            self._check_wanted(arrival)
            pixels = image()
        except FrameRefusedError as error:
            self.refuse(arrival.unique_id, timestamp_ns, error.reason, str(error))
            return
        # Whatever a frame makes the decoding stumble over, it costs this frame and no other.
        except Exception as error:  # noqa: BLE001
            self.refuse(arrival.unique_id, timestamp_ns, Reason.UNREADABLE, repr(error)[:300])
            return
        self._compare_clocks(arrival, details, received_ns)
        self._intake.frame(
            Frame(
                unique_id=arrival.unique_id or 0,
                timestamp_ns=timestamp_ns,
                received_ns=received_ns,
                exposure_s=details.exposure_s,
                image=pixels,
                monitor=details.monitor,
                origin=self._origin,
                kind=details.kind,
                conditions=details.conditions,
                offset_subtracted=details.offset_subtracted,
                attributes=_attributes_with_stamps(arrival),
                cell=cell,
            )
        )

    def refuse(self, unique_id: int | None, timestamp_ns: int, reason: Reason, text: str) -> None:
        """Tell of a frame that cannot be taken; its time is 0 where it told none of its own."""
        where = f"frame {unique_id} from {self._origin}" if unique_id is not None else f"a frame from {self._origin}"
        # What a frame says of itself may be long, and may hold anything; the sentence does not.
        sentence = " ".join(f"{where}: {text}".split())[:LONGEST_SENTENCE]
        self._intake.refused(unique_id=unique_id, timestamp_ns=timestamp_ns, reason=reason, text=sentence)

    def _check_wanted(self, arrival: Arrival) -> None:
        if arrival.unique_id is None:
            raise FrameRefusedError(Reason.WRONG_TYPE, "expected a unique id, got none")
        pv = self._state.takes_offset(arrival.stamp_ns)
        if pv:
            raise FrameRefusedError(Reason.OFFSET_ACQUISITION, f"taken for the detector's own correction, {pv} was 1")

    def _timestamp_ns(self, arrival: Arrival, details: FrameDetails) -> int:
        stamp_ns = arrival.stamp_ns if is_set(arrival.stamp_ns) else arrival.data_stamp_ns
        if not is_set(stamp_ns):  # told as it is: 0 where it was never set, or a time beyond all sense
            return arrival.stamp_ns if arrival.stamp_ns > EARLIEST_NS else 0
        return mid_exposure_ns(stamp_ns=stamp_ns, exposure_s=details.exposure_s, marks=self._marks)

    def _cell_at(self, timestamp_ns: int, exposure_s: float) -> str:
        """The cell that the PV beside the image names, over the whole exposure."""
        half_ns = round(exposure_s / 2 * NS_PER_S) if exposure_s > 0 else 0
        told = self._state.cells_between(timestamp_ns - half_ns, timestamp_ns + half_ns)
        if len(told) > 1:
            return repr(" then ".join(map(str, told)))
        return self._names.cell_named(told[0]) if told else ""

    def _compare_clocks(self, arrival: Arrival, details: FrameDetails, received_ns: int) -> None:
        """Say once when the stamps and this machine's clock do not agree."""
        if self._warned_of_clocks or not is_set(arrival.stamp_ns):
            return
        exposure_ns = round(details.exposure_s * NS_PER_S) if details.exposure_s > 0 else 0
        others = [("the time of receipt", received_ns)]
        if is_set(arrival.data_stamp_ns):
            others.append(("dataTimeStamp", arrival.data_stamp_ns))
        for name, other_ns in others:
            apart_ns = arrival.stamp_ns - other_ns
            if abs(apart_ns) > CLOCK_TOLERANCE_NS + exposure_ns:
                self._warned_of_clocks = True
                apart = f"{apart_ns / NS_PER_S:+.1f} s from {name}"
                text = f"the stamp of frame {arrival.unique_id} from {self._origin} is {apart}"
                self._intake.warning(kind="CLOCKS_DISAGREE", text=text)
                return


def _attributes_with_stamps(arrival: Arrival) -> tuple[tuple[str, Scalar], ...]:
    stamps = (("timeStamp_ns", arrival.stamp_ns), ("dataTimeStamp_ns", arrival.data_stamp_ns))
    return stamps + attributes_from_metadata(arrival.attributes)
