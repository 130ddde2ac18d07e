"""Small beamlines for whole programs: calibration and configuration in a few lines."""

from collections.abc import Mapping
from pathlib import Path

from ringwatch_daemon.examples import CONFIGURATION, example_folder
from ringwatch_simulators.scenario import SyntheticFrames, scenario_named, write_beamline_files

PONI = """poni_version: 2.1
Detector: Detector
Detector_config: {{"pixel1": {pixel_m}, "pixel2": {pixel_m}, "max_shape": [{rows}, {columns}], "orientation": 3}}
Distance: 0.5
Poni1: {poni1_m}
Poni2: {poni2_m}
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 1.5e-11
"""


def write_plain_beamline(
    folder: Path,
    *,
    shape: tuple[int, int],
    pixel_m: float = 200e-6,
    protocol: str = "pva",
    endpoint: str = "",
    sections: Mapping[str, str] | None = None,
) -> Path:
    """A beamline whose frames become patterns and nothing more; return the configuration.

    Parameters
    ----------
    endpoint
        Of the stream; none is opened when empty.
    sections
        Further sections of the configuration, text by name.
    """
    rows, columns = shape
    middle = {"poni1_m": rows * pixel_m / 2, "poni2_m": columns * pixel_m / 2}
    poni = PONI.format(rows=rows, columns=columns, pixel_m=pixel_m, **middle)
    (folder / "geometry.poni").write_text(poni)
    parts = {
        "detector": f'protocol = "{protocol}"\nstall_s = 60.0',
        "geometry": 'poni = "geometry.poni"',
        "binning": "bins = 32",
        "stream": f'endpoint = "{endpoint}"' if endpoint else "enabled = false",
        **(sections or {}),
    }
    configuration = folder / "beamline.toml"
    configuration.write_text("".join(f"[{name}]\n{text}\n" for name, text in parts.items()))
    return configuration


def write_small_lagp_beamline(folder: Path) -> tuple[Path, SyntheticFrames]:
    """The example beamline in front of the simulated cell, seen by a small panel whose frames bring no metadata.

    The dark is to be put into ``dark.tif``.
    """
    return lagp_beamline_without_metadata(folder, "small")


def lagp_beamline_without_metadata(folder: Path, scenario: str) -> tuple[Path, SyntheticFrames]:
    """The same for any panel: the name of its scenario."""
    frames = SyntheticFrames(scenario_named(scenario), start_ns=10**18)
    write_beamline_files(folder, frames)
    text = example_folder().joinpath(CONFIGURATION).read_text()
    for old, new in (
        ("mask.edf.gz", "mask.edf"),
        ("background_terms = 10 ", "background_terms = 24 "),
        ('background_file = "empty_cell.xy"', ""),
        ('[detector.attributes]\ndark = ["ShutterClosed"]', '[dark]\nfiles = ["dark.tif"]\n'),
        ('[detector.monitor]\nattribute = "IonChamber"', "[detector.monitor]"),
        ('kind = "csv"', 'kind = "none"'),
    ):
        assert old in text
        text = text.replace(old, new)
    configuration = folder / CONFIGURATION
    configuration.write_text(text)
    return configuration, frames
