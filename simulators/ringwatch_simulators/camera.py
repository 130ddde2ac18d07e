"""The camera's records, read as what the detector wants to know and posted as what it has to tell."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.database import (
    DATA_TYPES,
    DETECTOR_STATES,
    GAINS,
    IMAGE_MODES,
    TRIGGER_MODES,
    Scalar,
)
from ringwatch_simulators.readout import data_type_of
from ringwatch_simulators.records import Records
from ringwatch_simulators.supply import AttributeValue


class Camera:
    """The camera's records of one detector, and the ``prefix`` that they all begin with."""

    def __init__(self, records: Records, prefix: str) -> None:
        self._records = records
        self._prefix = prefix

    @property
    def exposure_s(self) -> float:
        """``AcquireTime``."""
        return float(self._value("AcquireTime"))

    @property
    def period_s(self) -> float:
        """Data time from frame to frame: ``AcquirePeriod``, at least the exposure."""
        return max(float(self._value("AcquirePeriod")), self.exposure_s)

    @property
    def images_wanted(self) -> int | None:
        """Frames of one acquisition; None until somebody stops it."""
        return {"Multiple": int(self._value("NumImages")), "Continuous": None}.get(self._image_mode, 1)

    @property
    def images_to_average(self) -> int:
        """How many exposures make one frame."""
        return max(1, int(self._value("NumImages"))) if self._image_mode == "Average" else 1

    @property
    def frames_to_skip(self) -> int:
        """Frames at the start that are thrown away."""
        return int(self._value("PENumFramesToSkip")) if self._value("PESkipFrames") else 0

    @property
    def shutter_closed(self) -> bool:
        """The operator keeps the beam away."""
        return not self._value("ShutterControl")

    @property
    def waits_for_trigger(self) -> bool:
        """Each frame waits for ``PETrigger``."""
        return self._trigger_mode == "Soft Trigger"

    @property
    def callbacks_enabled(self) -> bool:
        """Frames go to the plugins."""
        return bool(self._value("ArrayCallbacks"))

    @property
    def uses_offset(self) -> bool:
        """Frames leave with the offset image taken off."""
        return bool(self._value("PEUseOffset"))

    @property
    def offset_constant(self) -> int:
        """What is added when the offset image is taken off."""
        return int(self._value("PEOffsetConstant"))

    def correction_frames(self, kind: str) -> int:
        """How many frames an offset or gain acquisition takes; `kind` is ``Offset`` or ``Gain``."""
        return max(1, int(self._value(f"PENum{kind}Frames")))

    def attributes(self) -> dict[str, AttributeValue]:
        """Settings that go with every frame."""
        return {
            "ColorMode": 0,
            "AcquireTime": self.exposure_s,
            "PEGain": GAINS[int(self._value("PEGain"))],
            "TriggerMode": self._trigger_mode,
        }

    def post(self, name: str, value: Scalar) -> None:
        """Post one record."""
        self._records.post(self._prefix + name, value)

    def post_state(self, state: str, message: str) -> None:
        """Post what the detector is doing."""
        self.post("DetectorState_RBV", DETECTOR_STATES.index(state))
        self.post("StatusMessage_RBV", message)

    def post_size(self, image: NDArray[Any]) -> None:
        """Post size and type of the newest image where they have changed."""
        values = {
            "ArraySizeX_RBV": image.shape[-1],
            "ArraySizeY_RBV": image.shape[0],
            "ArraySize_RBV": image.nbytes,
            "DataType_RBV": DATA_TYPES.index(data_type_of(image.dtype)),
        }
        for name, value in values.items():
            if self._value(name) != value:
                self.post(name, value)

    @property
    def _image_mode(self) -> str:
        return IMAGE_MODES[int(self._value("ImageMode"))]

    @property
    def _trigger_mode(self) -> str:
        return TRIGGER_MODES[int(self._value("TriggerMode"))]

    def _value(self, name: str) -> Scalar:
        value: Scalar = self._records.value(self._prefix + name)
        return value


class OffsetImage:
    """The offset that the detector takes off its frames: the mean of an offset acquisition."""

    def __init__(self) -> None:
        self._mean: NDArray[np.float64] | None = None

    def learn(self, total: NDArray[np.float64], frames: int) -> None:
        """Keep the mean of `frames` frames that sum up to `total`."""
        self._mean = total / frames

    def taken_off(self, image: NDArray[Any], constant: int) -> NDArray[Any]:
        """`image` less the offset plus `constant`, cut at 0 and at the type's limit, as the driver does."""
        if self._mean is None or self._mean.shape != image.shape:
            return image
        limits = np.iinfo(image.dtype) if image.dtype.kind in "ui" else np.finfo(image.dtype)
        lit = image - np.rint(self._mean) + constant
        return np.asarray(np.clip(lit, 0, float(limits.max)), dtype=image.dtype)
