"""The simulated cycler's file, read while it grows and coupled to frames."""

import numpy as np
import pytest

from ringwatch_daemon.cyclers.csv_file import CsvCycler, CsvCyclerConfig
from ringwatch_daemon.cyclers.layout import TableLayout, TimeColumn, ValueColumn
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.cycling import Coupling
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_simulators.cell_model import CellModel, CellParameters
from ringwatch_simulators.cycler import Cycler
from ringwatch_simulators.cycler_options import CyclerOptions

# Two hours before Berlin's clocks go back, so that the file's local stamps repeat themselves.
START_NS = 1_792_882_800 * 10**9
STEP_NS = 300 * 10**9
AREA_CM2 = 1.27


@pytest.mark.parametrize("naive", [True, False])
def test_frames_are_coupled_to_the_true_state_across_the_end_of_summer_time(tmp_path, naive):
    model = CellModel(CellParameters())
    options = CyclerOptions(path=tmp_path / "cell.csv", zone="Europe/Berlin", naive=naive, clock_offset_s=437.0)
    simulated = Cycler(model=model, start_ns=START_NS, begin_ns=START_NS, options=options)
    layout = TableLayout(
        time=TimeColumn("time", zone="Europe/Berlin"),
        voltage=ValueColumn("voltage_V", "V"),
        current=ValueColumn("current_A", "A"),
        cycle="cycle",
        step="step",
    )
    reader = CsvCycler(CsvCyclerConfig(tmp_path / "cell.csv", layout, clock_offset_s=-437.0))
    coupler = Coupler(Timeline(max_gap_s=600.0), area_cm2=AREA_CM2)
    states = {}
    for row in range(60):
        at_ns = START_NS + row * STEP_NS + STEP_NS // 3
        states[row] = coupler.state_for_frame(row=row, timestamp_ns=at_ns)
        simulated.advance(at_ns)
        samples = reader.poll()
        if samples is not None:
            states.update({told.row: told.state for told in coupler.take_samples(samples).earlier})
    reader.close()
    assert {row for row, state in states.items() if state.state is not Coupling.KNOWN} == {59}
    truth = [simulated.state(START_NS + row * STEP_NS + STEP_NS // 3) for row in range(59)]
    found_V = np.array([states[row].voltage_V for row in range(59)])
    assert found_V == pytest.approx([state.voltage_V for state in truth], abs=2e-3)
    found_density = [states[row].current_density_mA_cm2 for row in range(59)]
    assert found_density == pytest.approx([1e3 * state.current_A / AREA_CM2 for state in truth], rel=1e-5)
