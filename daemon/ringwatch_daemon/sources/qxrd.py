"""The sidecar ``NAME.tif.metadata`` that QXRD writes beside each frame of a Perkin-Elmer detector."""

from pathlib import Path

from ringwatch_daemon.sources.tiff_tags import number_or_text
from ringwatch_daemon.sources.times import Scalar

_MAX_BYTES = 1 << 20
_SUBTRACTED = 5
"""QXRD's data type of a frame whose dark was taken off."""


def qxrd_sidecar(image_file: Path) -> dict[str, Scalar]:
    """What the sidecar of an image says, empty where there is none that can be read."""
    sidecar = image_file.with_name(image_file.name + ".metadata")
    try:
        with sidecar.open("rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    return header_from_qxrd(text)


def header_from_qxrd(text: str) -> dict[str, Scalar]:
    """The section ``[metadata]`` of a sidecar.

    The exposure becomes that of the sum: QXRD writes one exposure and how many it summed.
    """
    header: dict[str, Scalar] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip()
        elif section == "[metadata]" and "=" in line:
            name, _, value = line.partition("=")
            if not value.startswith(("@", '"@')):
                header[name.strip()] = number_or_text(value.strip())
    exposure, summed = header.get("exposureTime"), header.get("summedExposures", 1)
    if isinstance(exposure, int | float) and isinstance(summed, int | float):
        header["exposureTime"] = exposure * max(summed, 1)
    if header.get("dataType") == _SUBTRACTED:
        header["offset_subtracted"] = 1
    return header
