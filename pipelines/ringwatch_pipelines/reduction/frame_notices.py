"""What an operator hears of with light frames, each once: the dark, the detector's own offset, the rings."""

from typing import Any, Protocol

from numpy.typing import NDArray

from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.reduction.corrections import Dark, DarkChoice
from ringwatch_pipelines.results import Notice


class RingCheck(Protocol):
    """Holds the rings of a frame against the calibration."""

    def __call__(self, image: NDArray[Any], *, dark: Dark | None) -> tuple[Notice, ...]:
        """What is to be said of them."""
        ...


class FrameNotices:
    """Remembers what has been told.

    Parameters
    ----------
    check_rings
        None to take the calibration as it is.
    shape
        (rows, columns) of a frame that brings its image.
    """

    def __init__(self, check_rings: RingCheck | None, *, shape: tuple[int, int]) -> None:
        self._check_rings = check_rings
        self._shape = shape
        self.told_dark = -1
        self.told_offset = False
        self.rings_checked = check_rings is None

    def recall(self, *, told_dark: int, told_offset: bool, rings_checked: bool) -> None:
        """Go on where another one was."""
        self.told_dark, self.told_offset, self.rings_checked = told_dark, told_offset, rings_checked

    def of(self, frame: Frame, choice: DarkChoice) -> tuple[Notice, ...]:
        """What there is to tell with this frame and the dark that is taken off."""
        return (*self._of_dark(choice), *self._of_offset(frame), *self._of_rings(frame, choice.dark))

    def _of_dark(self, choice: DarkChoice) -> tuple[Notice, ...]:
        dark = choice.dark
        if dark is None or choice.index == self.told_dark:
            return ()
        self.told_dark = choice.index
        text = f"dark {choice.index} is taken off: mean of {dark.frames} from {dark.origin}, sha256 {dark.checksum}"
        return (Notice("DARK", text),)

    def _of_offset(self, frame: Frame) -> tuple[Notice, ...]:
        if not frame.offset_subtracted or self.told_offset:
            return ()
        self.told_offset = True
        text = "the detector takes its own dark off its frames; no other dark is taken off, counts below it are cut"
        return (Notice("OFFSET_SUBTRACTED", text, standing=True),)

    def _of_rings(self, frame: Frame, dark: Dark | None) -> tuple[Notice, ...]:
        if self.rings_checked or self._check_rings is None or frame.image.shape != self._shape:
            return ()
        self.rings_checked = True
        return self._check_rings(frame.image, dark=dark)
