"""The command that calibrates: what it reads, writes and says."""

import hashlib
import io
import json
import tomllib

import numpy as np
import pytest
from rich.console import Console

from fakes.calibrant_frames import PONI, ceria, ring_frame, true_geometry
from ringwatch_daemon import cli
from ringwatch_daemon.calibrating import FIGURE, RECORD, SETTINGS, CalibrationOrder, calibrate
from ringwatch_daemon.calibrating import PONI as PONI_NAME
from ringwatch_daemon.core.errors import InputFileError, SettingsError
from ringwatch_daemon.settings_file import load_settings
from ringwatch_pipelines.errors import GeometryError
from ringwatch_pipelines.reduction.integration import geometry_from_poni

CONFIGURATION = '[geometry]\nponi = "start.poni"\nsolid_angle = false\n[detector]\nsaturation_counts = 60000\n'
OFFSET, READ_NOISE = 100.0, 3.0


@pytest.fixture(scope="module")
def beamline(tmp_path_factory):
    """A start that is off, two frames of ceria and two darks."""
    folder = tmp_path_factory.mktemp("beamline")
    start = PONI.replace("Distance: 0.25", "Distance: 0.256").replace("Poni1: 0.0431", "Poni1: 0.0452")
    (folder / "start.poni").write_text(start)
    (folder / "beamline.toml").write_text(CONFIGURATION)
    rng = np.random.default_rng(5)
    for seed in (0, 1):
        light = ring_frame(true_geometry(), ceria(28), seed=seed).astype(float)
        for name, image in ((f"light{seed}.npy", light), (f"dark{seed}.npy", np.zeros_like(light))):
            read = image + OFFSET + rng.normal(0.0, READ_NOISE, image.shape)
            np.save(folder / name, np.round(read).astype(np.uint16))
    return folder


def order_for(folder, **how):
    given = {"calibrant": "CeO2", "darks": (str(folder / "dark*.npy"),)} | how
    return CalibrationOrder(frames=(str(folder / "light*.npy"),), **given)


@pytest.fixture(scope="module")
def made(beamline):
    said = io.StringIO()
    calibrate(beamline / "beamline.toml", order_for(beamline), beamline / "out", console=Console(file=said))
    return beamline / "out", said.getvalue()


def test_the_new_poni_is_the_true_geometry_within_its_errors(made):
    folder, said = made
    found = geometry_from_poni((folder / PONI_NAME).read_text(), origin=PONI_NAME)
    parameters = json.loads((folder / RECORD).read_text())["geometry"]["parameters"]
    for name in ("distance_m", "poni1_m", "poni2_m", "rot1_rad", "rot2_rad"):
        entry = parameters[name]
        assert entry["value"] == getattr(found, name)
        assert abs(entry["value"] - getattr(true_geometry(), name)) < 4.5 * entry["sigma"]
    assert not parameters["wavelength_m"]["refined"]
    assert "from 0.256" in said


def test_the_settings_can_be_pasted_into_a_configuration(made):
    folder, _ = made
    pasted = tomllib.loads((folder / SETTINGS).read_text())
    (folder / "pasted.toml").write_text((folder / SETTINGS).read_text())
    settings = load_settings(folder / "pasted.toml")
    assert settings.geometry.poni == (folder / PONI_NAME).resolve()
    assert settings.fit.instrument.w_deg2 == pytest.approx(0.09**2, rel=0.02)
    assert settings.detector.gain_counts == pytest.approx(1.0, abs=0.3)
    assert settings.detector.read_noise_counts == pytest.approx(READ_NOISE, rel=0.03)
    assert set(pasted) == {"geometry", "fit", "detector"}


def test_the_record_says_what_went_in_and_how_sure_every_value_is(made, beamline):
    folder, _ = made
    record = json.loads((folder / RECORD).read_text())
    sums = {file["path"]: file["sha256"] for file in record["inputs"]}
    for name in ("light0.npy", "light1.npy", "dark0.npy", "dark1.npy", "start.poni", "beamline.toml"):
        assert sums[str(beamline / name)] == hashlib.sha256((beamline / name).read_bytes()).hexdigest()
    geometry, instrument = record["geometry"], record["instrument"]
    assert np.shape(geometry["covariance"]) == (len(geometry["covariance_of"]),) * 2
    assert np.shape(instrument["covariance"]) == (len(instrument["covariance_of"]),) * 2
    assert instrument["bin_width_contained"] is False
    assert record["detector"]["light_pairs"] == record["detector"]["dark_pairs"] == 1
    assert record["versions"]["pyFAI"]
    assert record["calibrant"]["source"] == "NIST SRM 674b"


def test_the_figure_is_an_image(made):
    pytest.importorskip("matplotlib")
    folder, _ = made
    assert (folder / FIGURE).read_bytes().startswith(b"\x89PNG")


def test_a_check_writes_nothing_and_names_the_calibration_that_is_wrong(beamline, made):
    order = order_for(beamline, check_only=True)
    with pytest.raises(GeometryError, match=r"start\.poni is not the calibration"):
        calibrate(beamline / "beamline.toml", order, beamline / "none", console=Console(file=io.StringIO()))
    right = beamline / "right.toml"
    right.write_text(CONFIGURATION.replace("start.poni", f"out/{PONI_NAME}"))
    said = io.StringIO()
    calibrate(right, order, beamline / "none", console=Console(file=said))
    assert "rings lie where the calibration puts them" in said.getvalue()
    assert not (beamline / "none").exists()


def test_a_calibrant_may_be_a_phase_of_the_configuration_or_a_cif(beamline, made, recordings):
    phase = (
        '[[phases]]\nname = "ceria"\nrole = "free"\nspace_group = "F m -3 m"\nlattice = { a_A = 5.411651 }\n'
        "[fit]\ntwo_theta_max_deg = 12.0\n"
    )
    config = beamline / "phase.toml"
    config.write_text(CONFIGURATION.replace("start.poni", f"out/{PONI_NAME}") + phase)
    for how in ({"calibrant": "", "phase": "ceria"}, {"calibrant": str(recordings / "cif/CeO2_amcsd11686.cif")}):
        said = io.StringIO()
        calibrate(config, order_for(beamline, check_only=True, **how), beamline, console=Console(file=said))
        assert "rings lie where" in said.getvalue()


@pytest.mark.parametrize(
    ("how", "error", "sentence"),
    [
        ({"calibrant": ""}, SettingsError, "--calibrant .* got neither"),
        ({"calibrant": "", "phase": "lagp"}, SettingsError, "got lagp"),
        ({"calibrant": "unobtainium"}, GeometryError, "got unobtainium"),
        ({"calibrant": "absent.cif"}, InputFileError, r"absent\.cif, but it cannot be read"),
        ({"darks": ("absent.tif",)}, InputFileError, r"absent\.tif"),
    ],
)
def test_what_cannot_be_used_is_named(beamline, how, error, sentence):
    with pytest.raises(error, match=sentence):
        calibrate(beamline / "beamline.toml", order_for(beamline, **how), beamline, console=Console(file=io.StringIO()))


def test_silicon_whose_rings_are_all_among_cerias_is_refused_and_nothing_is_written(beamline, tmp_path):
    """The distance makes up for the lattice; only the rings that silicon does not have tell."""
    scale = 5.431179 / 5.411651
    start = PONI.replace("Distance: 0.25", f"Distance: {0.25 * scale:.6f}")
    (beamline / "start_si.poni").write_text(start)
    (beamline / "silicon.toml").write_text(CONFIGURATION.replace("start.poni", "start_si.poni"))
    order = order_for(beamline, calibrant="Si")
    with pytest.raises(GeometryError, match=r"^Si is not what was in the beam: .* \d+ strong rings at 3\.\d+, "):
        calibrate(beamline / "silicon.toml", order, tmp_path / "out", console=Console(file=io.StringIO()))
    assert not (tmp_path / "out").exists()


def test_the_command_line_ends_with_2_where_the_calibration_is_wrong(beamline, capsys):
    arguments = ["calibrate", str(beamline / "beamline.toml"), str(beamline / "light0.npy")]
    arguments += ["--dark", str(beamline / "dark0.npy"), "--calibrant", "CeO2", "--check"]
    assert cli.main(arguments) == 2
    assert "is not the calibration of these frames" in capsys.readouterr().err
