"""The records of an areaDetector with the ADPerkinElmer driver, as one table.

Names and choices follow the templates of ADCore and ADPerkinElmer. A `Setting` is written by
clients and, where it has a readback, repeated in ``NAME_RBV``. A `Reading` is written by the
detector only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

Scalar = float | int | str | bool

NO_YES = ("No", "Yes")
DISABLE_ENABLE = ("Disable", "Enable")
DONE_ACQUIRING = ("Done", "Acquire")
CLOSE_OPEN = ("Close", "Open")
DATA_TYPES = ("Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float32", "Float64")
COLOR_MODES = ("Mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV421")
IMAGE_MODES = ("Single", "Multiple", "Continuous", "Average")
TRIGGER_MODES = ("Internal", "External", "Free Running", "Soft Trigger")
DETECTOR_STATES = (
    "Idle", "Acquire", "Readout", "Correct", "Saving", "Aborting", "Error", "Waiting", "Initializing",
    "Disconnected", "Aborted",
)  # fmt: skip
GAINS = ("0.25pF", "0.5pF", "1pF", "2pF", "4pF", "8pF")

DRIVER_PORT = "PEDET1"


@dataclass(frozen=True, slots=True)
class PvNames:
    """What the records of a detector are called.

    Parameters
    ----------
    prefix
        What all of them begin with.
    camera_part, image_part
        Of the camera and of NDPluginStdArrays, below the prefix.
    pva_image
        The NTNDArray, below the prefix; its plugin's records share what comes before the last colon.
    """

    prefix: str = "13PE1:"
    camera_part: str = "cam1:"
    image_part: str = "image1:"
    pva_image: str = "Pva1:Image"

    @property
    def camera(self) -> str:
        """What the camera's records begin with."""
        return self.prefix + self.camera_part

    @property
    def image_plugin(self) -> str:
        """What the records of the plugin for Channel Access begin with."""
        return self.prefix + self.image_part

    @property
    def pva_plugin(self) -> str:
        """What the records of the plugin for PVA begin with."""
        return self.prefix + self.pva_image.rpartition(":")[0] + ":"


@dataclass(frozen=True, slots=True)
class Setting:
    """A record that clients write.

    Parameters
    ----------
    initial
        Its type is the record's type.
    choices
        Texts of an enumeration.
    readback
        Whether ``NAME_RBV`` repeats it.
    momentary
        A put of the value it already has still counts, as for a command.
    """

    name: str
    initial: Scalar
    choices: tuple[str, ...] = ()
    readback: bool = True
    momentary: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """A record that the detector writes.

    Parameters
    ----------
    long
        A text is a character waveform, as many are in areaDetector.
    stamped
        Its time is the one it is posted with, not the time of the post.
    """

    name: str
    initial: Scalar
    choices: tuple[str, ...] = ()
    long: bool = False
    stamped: bool = False
    unit: str = ""


Entry = Setting | Reading


@dataclass(frozen=True, slots=True)
class DetectorIdentity:
    """What the detector says it is."""

    rows: int
    columns: int
    data_type: str
    manufacturer: str = "Perkin Elmer"
    model: str = "XRD1621 (simulated)"


def camera_entries(identity: DetectorIdentity, *, exposure_s: float, period_s: float, images: int) -> Iterator[Entry]:
    """The records that every areaDetector camera has."""
    yield from (
        Setting("AcquireTime", exposure_s),
        Setting("AcquirePeriod", period_s),
        Setting("ImageMode", 1, IMAGE_MODES),
        Setting("NumImages", images),
        Setting("NumExposures", 1),
        Setting("TriggerMode", 0, TRIGGER_MODES),
        Setting("ArrayCounter", 0, momentary=True),
        Setting("ArrayCallbacks", True, DISABLE_ENABLE),
        Setting("DataType", DATA_TYPES.index(identity.data_type), DATA_TYPES),
        Setting("ColorMode", 0, COLOR_MODES),
        Setting("Gain", 1.0),
        Setting("BinX", 1),
        Setting("BinY", 1),
        Setting("MinX", 0),
        Setting("MinY", 0),
        Setting("SizeX", identity.columns),
        Setting("SizeY", identity.rows),
        Setting("FrameType", 0, ("Normal", "Background", "FlatField")),
        Setting("Temperature", 25.0),
        Setting("ShutterMode", 1, ("None", "EPICS output", "Detector output"), readback=True),
        Setting("ShutterControl", True, CLOSE_OPEN),
        Reading("ShutterStatus_RBV", True, ("Closed", "Open")),
        Reading("TemperatureActual", 25.0),
        Reading("AcquireBusy", False, ("Done", "Busy")),
        Reading("Acquire_RBV", False, ("Done", "Acquiring")),
        Reading("NumImagesCounter_RBV", 0),
        Reading("NumExposuresCounter_RBV", 0),
        Reading("ArrayRate_RBV", 0.0),
        Reading("TimeRemaining_RBV", 0.0),
        Reading("DetectorState_RBV", 0, DETECTOR_STATES),
        Reading("StatusMessage_RBV", "Idle", long=True),
        Reading("ArraySizeX_RBV", identity.columns),
        Reading("ArraySizeY_RBV", identity.rows),
        Reading("ArraySizeZ_RBV", 0),
        Reading("ArraySize_RBV", 0),
        Reading("MaxSizeX_RBV", identity.columns),
        Reading("MaxSizeY_RBV", identity.rows),
        Reading("Manufacturer_RBV", identity.manufacturer),
        Reading("Model_RBV", identity.model),
        Reading("PortName_RBV", DRIVER_PORT),
    )


def perkin_elmer_entries() -> Iterator[Entry]:
    """The camera's records that only the ADPerkinElmer driver has."""
    yield from (
        Setting("PEAcquireOffset", False, DONE_ACQUIRING, readback=False, momentary=True),
        Setting("PENumOffsetFrames", 10, readback=False),
        Reading("PECurrentOffsetFrame", 0),
        Reading("PEOffsetAvailable", False, NO_YES),
        Setting("PEUseOffset", False, NO_YES, readback=False),
        Setting("PEOffsetConstant", 0),
        Setting("PEAcquireGain", False, DONE_ACQUIRING, readback=False, momentary=True),
        Setting("PENumGainFrames", 10, readback=False),
        Reading("PECurrentGainFrame", 0),
        Reading("PEGainAvailable", False, NO_YES),
        Setting("PEUseGain", False, NO_YES, readback=False),
        Setting("PEGainFile", "", readback=False),
        Setting("PELoadGainFile", False, readback=False, momentary=True),
        Setting("PESaveGainFile", False, readback=False, momentary=True),
        Setting("PEGain", 0, GAINS),
        Setting("PEUsePixelCorrection", False, NO_YES, readback=False),
        Reading("PEPixelCorrectionAvailable", False, NO_YES),
        Setting("PEPixelCorrectionFile", "", readback=False),
        Setting("PELoadPixelCorrection", False, readback=False, momentary=True),
        Setting("PECorrectionsDir", "", readback=False),
        Setting("PESyncMode", 0, ("Soft trigger", "Internal timer", "External trigger", "Free running")),
        Setting("PESyncTime", 0),
        Setting("PEDwellTime", 0, ("Dwell time 1",)),
        Setting("PESkipFrames", False, DISABLE_ENABLE),
        Setting("PENumFramesToSkip", 1),
        Setting("PETrigger", False, readback=False, momentary=True),
        Reading("PEFrameBuffIndex", 0),
        Reading("PEImageNumber", 0),
        Setting("PENumFrameBuffers", 10),
        Setting("PEInitialize", False, readback=False, momentary=True),
        Reading("PESystemID", "simulated"),
    )


def plugin_entries(identity: DetectorIdentity, *, port: str, plugin_type: str, enabled: bool) -> Iterator[Entry]:
    """The records that every areaDetector plugin has."""
    yield from (
        Setting("EnableCallbacks", enabled, DISABLE_ENABLE),
        Setting("BlockingCallbacks", False, NO_YES),
        Setting("NDArrayPort", DRIVER_PORT),
        Setting("NDArrayAddress", 0),
        Setting("MinCallbackTime", 0.0),
        Setting("ArrayCounter", 0),
        Setting("ArrayCallbacks", True, DISABLE_ENABLE),
        Setting("DroppedArrays", 0),
        Setting("QueueSize", 20),
        Reading("QueueFree", 20),
        Reading("QueueUse", 0.0),
        Reading("PluginType_RBV", plugin_type),
        Reading("PortName_RBV", port),
        Reading("UniqueId_RBV", 0),
        Reading("NDimensions_RBV", 2),
        Reading("ArraySize0_RBV", identity.columns),
        Reading("ArraySize1_RBV", identity.rows),
        Reading("ArraySize2_RBV", 0),
        Reading("DataType_RBV", DATA_TYPES.index(identity.data_type), DATA_TYPES),
        Reading("ColorMode_RBV", 0, COLOR_MODES),
        Reading("BayerPattern_RBV", 0, ("RGGB", "GBRG", "GRBG", "BGGR")),
        Reading("TimeStamp_RBV", 0.0),
        Reading("EpicsTSSec_RBV", 0),
        Reading("EpicsTSNsec_RBV", 0),
        Reading("ArrayRate_RBV", 0.0),
        Reading("ExecutionTime_RBV", 0.0),
        Reading("Codec_RBV", ""),
    )


@dataclass(frozen=True, slots=True)
class CyclerPvs:
    """What the records of the instrument that charges a cell are called; empty for one that there is not."""

    voltage: str = "CYC1:Voltage"
    current: str = "CYC1:Current"
    half_cycle: str = "CYC1:HalfCycle"

    @classmethod
    def below(cls, prefix: str) -> "CyclerPvs":
        """The usual names below a prefix."""
        return cls(f"{prefix}Voltage", f"{prefix}Current", f"{prefix}HalfCycle")


def cycler_entries(names: CyclerPvs) -> Iterator[Entry]:
    """The records of the instrument that charges the cell; their times are data time."""
    entries = (
        Reading(names.voltage, 0.0, unit="V", stamped=True),
        Reading(names.current, 0.0, unit="A", stamped=True),
        Reading(names.half_cycle, -1, stamped=True),
    )
    yield from (entry for entry in entries if entry.name)
