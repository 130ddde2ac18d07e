"""Calibrations: what is read, and what is refused."""

import dataclasses
import json
import subprocess
import sys

import pytest
from pyFAI.detectors import detector_factory
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch_pipelines.errors import GeometryError
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import geometry_from_poni

PERKIN = """# a comment: with a colon
poni_version: 2.1
Detector: Perkin
Detector_config: {"pixel1": 0.0002, "pixel2": 0.0002, "orientation": 3}
Distance: 1.6
Poni1: 0.21
Poni2: 0.20
Rot1: 0.001
Rot2: -0.002
Rot3: 0.0003
Wavelength: 1.173e-11
"""

FIRST_VERSION = """PixelSize1: 0.0001
PixelSize2: 0.0002
Distance: 0.3
Poni1: 0.01
Poni2: 0.02
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 2e-11
"""


def test_a_calibration_is_read_with_all_its_numbers():
    geometry = geometry_from_poni(PERKIN, origin="a.poni", shape=(2048, 2048))
    assert geometry.detector == "Perkin"
    assert geometry.shape == (2048, 2048)
    assert (geometry.distance_m, geometry.poni1_m, geometry.poni2_m) == (1.6, 0.21, 0.20)
    assert (geometry.rot1_rad, geometry.rot2_rad, geometry.rot3_rad) == (0.001, -0.002, 0.0003)
    assert geometry.wavelength_m == 1.173e-11
    assert geometry.orientation == 3


def test_what_pyfai_itself_writes_is_read_back(tmp_path):
    config = {"pixel1": 1e-4, "pixel2": 2e-4, "max_shape": (64, 48), "orientation": 2}
    detector = detector_factory("Detector", config)
    integrator = AzimuthalIntegrator(0.3, 0.01, 0.02, 0.1, -0.2, 0.3, detector=detector, wavelength=2e-11)
    integrator.save(str(tmp_path / "saved.poni"))
    geometry = geometry_from_poni((tmp_path / "saved.poni").read_text(), origin="saved.poni")
    assert geometry.shape == (64, 48)
    assert geometry.orientation == 2
    assert (geometry.rot1_rad, geometry.rot2_rad, geometry.rot3_rad) == (0.1, -0.2, 0.3)


def test_a_binned_panel_has_a_quarter_of_the_pixels():
    geometry = geometry_from_poni(PERKIN.replace("0.0002", "0.0004"), origin="a.poni", shape=(1024, 1024))
    assert geometry.shape == (1024, 1024)


def test_the_first_version_takes_its_shape_from_the_frames():
    geometry = geometry_from_poni(FIRST_VERSION, origin="old.poni", shape=(100, 120))
    config = json.loads(geometry.detector_config)
    assert geometry.shape == (100, 120)
    assert (config["pixel1"], config["pixel2"]) == (0.0001, 0.0002)


def test_a_second_version_without_orientation_means_the_usual_one():
    text = PERKIN.replace(', "orientation": 3', "").replace("2.1", "2")
    assert geometry_from_poni(text, origin="a.poni") == geometry_from_poni(PERKIN, origin="a.poni")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "distance, poni1, poni2"),
        ("\x00\xff garbage : : :\n", "distance"),
        (PERKIN.replace("Wavelength: 1.173e-11", ""), "wavelength"),
        (PERKIN.replace("Wavelength: 1.173e-11", "Wavelength: None"), "wavelength"),
        (PERKIN.replace("Distance: 1.6", "Distance: far"), "'far'"),
        (PERKIN.replace("Distance: 1.6", "Distance: nan"), "'nan'"),
        (PERKIN.replace("Distance: 1.6", "Distance: -1.6"), "positive distance"),
        (PERKIN.replace("Wavelength: 1.173e-11", "Wavelength: 0"), "positive wavelength"),
        (PERKIN.replace("Detector: Perkin", "Detector: Polaroid"), "Polaroid"),
        (PERKIN.replace('{"pixel1"', '{"pixel1'), "JSON"),
        (PERKIN.replace('{"pixel1": 0.0002, "pixel2": 0.0002, "orientation": 3}', "[1, 2]"), "JSON object"),
        (PERKIN + "Parallax: True\n", "parallax"),
        (FIRST_VERSION, "shape"),
        (FIRST_VERSION.replace("PixelSize", "Nothing"), "pixel sizes"),
    ],
)
def test_a_broken_calibration_is_one_sentence_with_its_origin(text, expected):
    with pytest.raises(GeometryError, match=expected) as error:
        geometry_from_poni(text, origin="beamline/broken.poni")
    sentence = str(error.value)
    assert "\n" not in sentence
    assert "beamline/broken.poni" in sentence


def test_frames_of_another_shape_are_refused():
    with pytest.raises(GeometryError, match=r"\(2048, 2048\).*\(1024, 1024\)"):
        geometry_from_poni(PERKIN, origin="a.poni", shape=(1024, 1024))


def test_every_field_changes_the_fingerprint():
    geometry = geometry_from_poni(PERKIN, origin="a.poni")
    assert geometry.fingerprint == geometry_from_poni(PERKIN, origin="elsewhere.poni").fingerprint
    others = {"detector": "Pilatus1M", "detector_config": "{}", "shape": (3, 4), "orientation": 1}
    for field in dataclasses.fields(Geometry):
        value = others.get(field.name)
        changed = dataclasses.replace(
            geometry, **{field.name: getattr(geometry, field.name) * (1 + 1e-15) if value is None else value}
        )
        assert changed.fingerprint != geometry.fingerprint, field.name


def test_the_fingerprint_is_the_same_in_another_process():
    geometry = geometry_from_poni(PERKIN, origin="a.poni")
    program = f"from ringwatch_pipelines.reduction.geometry import Geometry; print({geometry!r}.fingerprint)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert printed.stdout.strip() == geometry.fingerprint
