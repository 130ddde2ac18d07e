"""Configurations in a few lines, with a small panel in front of them."""

from pathlib import Path

PONI = """poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 0.001, "pixel2": 0.001, "max_shape": [40, 50], "orientation": 3}
Distance: 0.5
Poni1: 0.02
Poni2: 0.025
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 1.173e-11
"""
SHAPE = (40, 50)
GEOMETRY = '[geometry]\nponi = "geometry.poni"\n'


def configuration(folder: Path, *parts: str, geometry: str = GEOMETRY) -> Path:
    """Write a configuration of `parts`, and the calibration that it names."""
    (folder / "geometry.poni").write_text(PONI)
    path = folder / "beamline.toml"
    path.write_text("\n".join((geometry, *parts)))
    return path
