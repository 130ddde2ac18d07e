"""The configuration: what is wrong is said in one sentence, and what is right is read as it was meant."""

import json
import tomllib
from pathlib import Path

import pytest

from fakes.configurations import GEOMETRY, configuration
from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.settings import Settings
from ringwatch_daemon.settings_file import load_settings
from ringwatch_daemon.settings_schema import schema_text

CONFIG = Path(__file__).resolve().parents[2] / "config"
PHASE = '[[phases]]\nname = "li"\nrole = "lines"\nspace_group = "I m -3 m"\nlattice = { a_A = 3.51 }\n'


def test_the_committed_schema_is_that_of_the_model():
    assert (CONFIG / "schema.json").read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.toml")), ids=lambda path: path.name)
def test_every_example_configuration_loads(path):
    assert load_settings(path).geometry.poni.is_file()


def test_every_setting_of_the_example_is_in_the_schema():
    schema = json.loads(schema_text())
    for section in tomllib.loads((CONFIG / "beamline.toml").read_text()):
        assert section in schema["properties"]
    assert not schema["additionalProperties"]


def test_a_calibration_is_all_that_must_be_said(tmp_path):
    settings = load_settings(configuration(tmp_path))
    assert settings.geometry.poni == tmp_path / "geometry.poni"
    assert settings.run.directory == tmp_path / "runs"
    assert settings.phases == ()


def test_relative_paths_are_taken_from_the_folder_of_the_file_wherever_they_stand(tmp_path, monkeypatch):
    other = tmp_path / "elsewhere"
    other.mkdir()
    text = (
        '[files]\npaths = ["frames", "/data/*.tif"]',
        '[dark]\nfiles = ["a.tif", "../b.tif"]',
        '[[phases]]\nname = "li"\nrole = "lines"\ncif = "cif/li.cif"',
        '[cycler]\nkind = "csv"\nfile = "cycler.csv"',
    )
    path = configuration(tmp_path, *text)
    monkeypatch.chdir(other)
    settings = load_settings(Path("..") / path.name)
    assert settings.files.paths == (tmp_path / "frames", Path("/data/*.tif"))
    assert settings.dark.files == (tmp_path / "a.tif", tmp_path / "../b.tif")
    assert settings.phases[0].cif == tmp_path / "cif/li.cif"
    assert settings.cycler.file == tmp_path / "cycler.csv"


def test_false_switches_off_what_is_on_by_default(tmp_path):
    text = (
        "polarization = false",
        "[detector]\nsaturation_counts = false",
        '[cycler]\nkind = "csv"\nfile = "c.csv"\n[cycler.table]\nvoltage = false',
    )
    settings = load_settings(configuration(tmp_path, *text))
    assert settings.geometry.polarization is None
    assert settings.detector.saturation_counts is None
    assert settings.cycler.table.voltage is None
    assert settings.cycler.table.current is not None


def test_the_schema_says_so():
    definitions = json.loads(schema_text())["$defs"]
    assert {"const": False} in definitions["GeometrySettings"]["properties"]["polarization"]["anyOf"]


def test_a_time_of_toml_may_stand_where_an_iso_time_is_expected(tmp_path):
    text = '[cycler]\nkind = "csv"\nfile = "c.csv"\n[cycler.table.time]\nkind = "elapsed"\nstart = 2026-11-22T10:00:00Z'
    assert load_settings(configuration(tmp_path, text)).cycler.table.time.start == "2026-11-22 10:00:00+00:00"


WRONG = {
    "an unknown setting": ("[binning]\nbinz = 5", "binning.binz: there is no such setting"),
    "an unknown section": ("[binnings]\nbins = 50", "binnings: there is no such setting"),
    "text for a number": ('[binning]\nbins = "many"', 'binning.bins: expected a valid integer, got "many"'),
    "a number as text": ('[binning]\nbins = "100"', 'binning.bins: expected a valid integer, got "100"'),
    "a fraction for a count": ("[binning]\nbins = 100.5", "binning.bins: expected a valid integer"),
    "a truth value for a number": ("[detector]\nstall_s = true", "detector.stall_s: expected a valid number, got true"),
    "a number for a text": ("[sample]\nname = 5", "sample.name: expected a valid string, got 5"),
    "a number out of its range": ("[binning]\nbins = 3", "binning.bins: expected greater than or equal to 16, got 3"),
    "a number that is none": ("[detector]\nstall_s = nan", "detector.stall_s: expected a finite number, got NaN"),
    "an infinite number": ("[detector]\nstall_s = inf", "detector.stall_s: expected a finite number, got Infinity"),
    "another choice": (
        '[detector]\nprotocol = "http"',
        "detector.protocol: expected 'pva', 'ca' or 'files', got \"http\"",
    ),
    "a section for a value": ("[run.directory]\na = 1", 'run.directory: expected a valid string, got {"a": 1}'),
    "true for what can only be switched off": (
        "[detector]\nsaturation_counts = true",
        "saturation_counts: expected a valid number",
    ),
    "a label that is none": ('[run]\nname = "My Run"', "run.name: "),
    "two phases of one name": (PHASE + PHASE, "two phases share a name: li, li"),
    "a ring test of no phase": ('ring_test = "ni"', "geometry.ring_test names ni, which is not among the phases"),
    "a phase without a cell": (
        '[[phases]]\nname = "li"\nrole = "lines"',
        "phases.0: phase li needs a cif or a lattice",
    ),
    "a phase without a group": (
        '[[phases]]\nname = "li"\nrole = "lines"\nlattice = { a_A = 3.5 }',
        "phases.0: phase li has a lattice but no space_group",
    ),
    "a phase of two minds": (
        '[[phases]]\nname = "li"\nrole = "lines"\ncif = "li.cif"\nlines = [{ hkl = [1, 1, 0] }]',
        "phases.0: phase li has a cif",
    ),
    "a phase without a role": (
        '[[phases]]\nname = "li"\ncif = "li.cif"',
        "phases.0.role: this setting is required, got none",
    ),
    "a line of two indices": (
        PHASE + "lines = [{ hkl = [1, 1] }]",
        "phases.0.lines.0.hkl.2: this setting is required, got none",
    ),
    "a cycler without its table": ('[cycler]\nkind = "csv"', "cycler: a cycler of kind csv needs file"),
    "a cycler without its PVs": (
        '[cycler]\nkind = "epics"\nvoltage_pv = "V"',
        "cycler: a cycler of kind epics needs voltage_pv and current_pv",
    ),
    "several at once": ("[binning]\nbins = 3\nbinz = 5", "(and 1 more)"),
}


@pytest.mark.parametrize(("text", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_setting_is_told_in_one_sentence_with_its_place(tmp_path, text, sentence):
    path = configuration(tmp_path, text)
    with pytest.raises(SettingsError) as told:
        load_settings(path)
    message = str(told.value)
    assert message.startswith(f"{path}: ")
    assert sentence in message
    assert "\n" not in message


def test_a_missing_calibration_is_told(tmp_path):
    with pytest.raises(SettingsError, match=r"needs geometry\.poni for frames, or scan\.wavelength_A for scans"):
        load_settings(configuration(tmp_path, geometry=""))


def test_text_that_is_not_toml_is_told_with_its_line(tmp_path):
    with pytest.raises(SettingsError, match=r"expected TOML in .*beamline.toml, but it is not: .*line 3"):
        load_settings(configuration(tmp_path, geometry=f"{GEOMETRY}= 5"))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SettingsError, match=r"configuration in .*none.toml, but it cannot be read: No such file"):
        load_settings(tmp_path / "none.toml")


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


def test_bytes_that_are_no_text_are_told(tmp_path):
    path = tmp_path / "beamline.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not UTF-8 text"):
        load_settings(path)


def test_settings_do_not_change():
    settings = Settings.model_validate({"geometry": {"poni": "a.poni"}})
    with pytest.raises(ValueError, match="frozen"):
        settings.run.name = "other"
