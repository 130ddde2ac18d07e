"""What a configuration expects of its beamline, as the simulators understand it."""

import pytest

from fakes.clock import ManualClock
from fakes.configurations import GEOMETRY, SHAPE, configuration
from ringwatch_daemon.composition.expected_beamline import expected_beamline, pv_arguments, write_expected_beamline
from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.cyclers.declarations import FileCyclerConfig
from ringwatch_daemon.cyclers.open_reader import open_reader
from ringwatch_daemon.examples import CONFIGURATION, example_folder
from ringwatch_daemon.settings_file import load_settings
from ringwatch_simulators.cell_model import CellModel, CellParameters
from ringwatch_simulators.cycler import Cycler
from ringwatch_simulators.cycler_options import CyclerOptions
from ringwatch_simulators.expected.beamline import read_expected_beamline
from ringwatch_simulators.expected.cycler import expected_cycler_options
from ringwatch_simulators.expected.phases import Course
from ringwatch_simulators.expected.scenario import expected_run

START_NS, HOUR_NS = 1_790_000_000_000_000_000, 3_600_000_000_000


def facts(folder, *parts, geometry=GEOMETRY):
    settings = load_settings(configuration(folder, *parts, geometry=geometry))
    write_expected_beamline(settings, folder / "facts.json")
    return read_expected_beamline(folder / "facts.json")


def test_the_example_beamline_is_a_lithium_cell_on_its_own_detector(tmp_path):
    settings = load_settings(example_folder() / CONFIGURATION)
    write_expected_beamline(settings, tmp_path / "facts.json")
    told = read_expected_beamline(tmp_path / "facts.json")
    run = expected_run(told, frames=20)
    assert [phase.course for phase in run.scenario.scene.phases] == [
        Course.ELECTROLYTE,
        Course.LITHIUM,
        Course.LATE,
        Course.LATER,
    ]
    assert run.scenario.scene.phases[1].textured
    assert run.scenario.detector.shape == run.maps.bad.shape == (2048, 2048)
    assert run.scenario.detector.distance_m == 1.6
    assert run.scenario.detector.wavelength_A == pytest.approx(0.1173, rel=1e-12)
    assert run.scenario.darks == 4
    assert told.monitor.attribute == "IonChamber"


@pytest.mark.parametrize(
    ("detector", "dtype"),
    [
        ("", "uint16"),
        ("saturation_counts = 1000000", "uint32"),
        ("saturation_counts = false", "uint32"),
        ("minimum_counts = -1.0", "int32"),
    ],
)
def test_the_type_of_the_frames_holds_the_counts_that_are_spoken_of(tmp_path, detector, dtype):
    assert facts(tmp_path, f"[detector]\n{detector}").detector.dtype == dtype


def test_a_detector_that_is_only_named_brings_its_pixels_shape_and_orientation(tmp_path):
    path = configuration(tmp_path)
    named = 'Detector: Pilatus1M\nDetector_config: {"orientation": 2}\n'
    (tmp_path / "geometry.poni").write_text(named + "Distance: 0.2\nPoni1: 0\nPoni2: 0\nWavelength: 1e-11\n")
    detector = expected_beamline(load_settings(path))["detector"]
    assert tuple(detector["shape"]) == (1043, 981)
    assert detector["pixels_m"] == pytest.approx([172e-6, 172e-6])
    assert detector["orientation"] == 2


def test_the_cycler_is_a_table_a_known_format_two_pvs_or_none(tmp_path):
    assert facts(tmp_path).cycler.file is None
    live = facts(tmp_path, '[cycler]\nkind = "epics"\nvoltage_pv = "V:1"\ncurrent_pv = "I:1"').cycler
    assert (live.voltage_pv, live.current_pv, live.file) == ("V:1", "I:1", None)
    known = facts(tmp_path, '[cycler]\nkind = "file"\nfile = "cell_*_C01.mpr"').cycler
    assert known.file == tmp_path / "cell_simulated_C01.mpr"
    assert known.table.time.name == "Unix Time / s"


def test_a_cycler_of_a_known_format_writes_what_is_known_by_its_content(tmp_path):
    facts_of_file = facts(tmp_path, '[cycler]\nkind = "file"\nfile = "cell.mpr"').cycler
    options = expected_cycler_options(facts_of_file, CyclerOptions())
    simulated = Cycler(CellModel(CellParameters()), start_ns=START_NS, begin_ns=START_NS, options=options)
    simulated.advance(START_NS + 10 * HOUR_NS)
    reader = open_reader(FileCyclerConfig(tmp_path / "cell.mpr"), clock=ManualClock())
    samples = reader.poll()
    reader.close()
    assert samples is not None
    assert samples.timestamp_ns[-1] == START_NS + 10 * HOUR_NS
    state = simulated.state(START_NS + 10 * HOUR_NS)
    assert samples.voltage_V[-1] == pytest.approx(state.voltage_V, abs=1e-8)
    assert (samples.cycle[-1], samples.step[-1]) == (1, state.step)


def test_each_of_several_cells_has_the_pvs_of_its_own_cycler(tmp_path):
    cells = """[[cells]]
name = "A"
cycler = { kind = "epics", voltage_pv = "A:V", current_pv = "A:I" }
[[cells]]
name = "B"
[[cells]]
name = "C"
cycler = { kind = "epics", voltage_pv = "C:V", current_pv = "C:I" }
"""
    told = facts(tmp_path, '[detector]\ncell_attribute = "Cell"', cells)
    assert [cell.cycler.voltage_pv for cell in told.cells] == ["A:V", "", "C:V"]


def test_a_monitor_that_only_a_pv_tells_is_told_by_that_pv(tmp_path):
    told = facts(tmp_path, '[detector.monitor]\npv = "BL:I0"\nreference = 5.0')
    assert (told.monitor.attribute, told.monitor.reference) == ("BL:I0", 5.0)
    assert told.attribute_pvs == {"BL:I0": "BL:I0"}


def test_records_are_named_as_the_configuration_names_them(tmp_path):
    named = '[detector]\nprefix = "X:"\ncamera = "c1:"\nca_image = "i1:"\npva_image = "p1:Array"'
    arguments = pv_arguments(load_settings(configuration(tmp_path, named)).detector)
    assert arguments == ["--prefix", "X:", "--camera", "c1:", "--ca-image", "i1:", "--pva-image", "p1:Array"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ('[detector]\nprotocol = "files"\n[files]\npaths = ["frames"]', "detector.protocol is files"),
        ("[scan]\nwavelength_A = 0.5", "for scans"),
        ('[detector]\ncell_pv = "S:1"\n[[cells]]\nname = "A"\n[[cells]]\nname = "B"', "detector.cell_attribute"),
    ],
)
def test_what_cannot_be_simulated_is_told_in_one_sentence(tmp_path, part, said):
    with pytest.raises(SettingsError, match=said):
        facts(tmp_path, part)


def test_the_detector_has_the_shape_of_the_calibration(tmp_path):
    assert facts(tmp_path).detector.shape == SHAPE
