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
from ringwatch_simulators.cycler_table import Column, CyclerTable, TimeForm

# Two hours before Berlin's clocks go back, so that the file's local stamps repeat themselves.
START_NS = 1_792_882_800 * 10**9
STEP_NS = 300 * 10**9
AREA_CM2 = 1.27
START = "2026-10-24T12:00:00+02:00"


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


@pytest.mark.parametrize(
    ("form", "layout"),
    [
        (TimeForm("epoch", "ms"), TimeColumn("t", kind="epoch", unit="ms")),
        (TimeForm("elapsed", "h", start=START), TimeColumn("t", kind="elapsed", unit="h", start=START)),
        (TimeForm("duration", start=START), TimeColumn("t", kind="duration", start=START)),
        (
            TimeForm(pattern="%d/%m/%Y %H:%M:%S", zone="-05:30", naive=True),
            TimeColumn("t", pattern="%d/%m/%Y %H:%M:%S", zone="-05:30"),
        ),
    ],
    ids=lambda form: form.kind if isinstance(form, TimeForm) else "",
)
@pytest.mark.parametrize("decimal", [".", ","])
def test_whatever_table_is_declared_is_written_as_it_is_read(tmp_path, form, layout, decimal):
    columns = (
        Column("U", "voltage", "mV"),
        Column("I", "current", "uA"),
        Column("t", "time"),
        Column("Q", "charge", "mAh", 9),
        Column("n", "step"),
    )
    table = CyclerTable(columns, separator=";", decimal=decimal, lines_before=4)
    options = CyclerOptions(path=tmp_path / "cell.txt", table=table, time=form)
    simulated = Cycler(CellModel(CellParameters()), start_ns=START_NS, begin_ns=START_NS, options=options)
    rows = simulated.advance(START_NS + 60 * STEP_NS)
    declared = TableLayout(
        time=layout,
        voltage=ValueColumn("U", "mV"),
        current=ValueColumn("I", "uA"),
        charge=ValueColumn("Q", "mAh"),
        step="n",
        separator=";",
        decimal=decimal,
        header_line=5,
    )
    reader = CsvCycler(CsvCyclerConfig(tmp_path / "cell.txt", declared))
    samples = reader.poll()
    reader.close()
    assert samples is not None
    stamps = START_NS + np.arange(rows) * STEP_NS
    assert np.abs(samples.timestamp_ns - stamps).max() < 5e6
    truth = [simulated.state(at_ns) for at_ns in stamps]
    for name in ("voltage_V", "current_A", "charge_C", "step"):
        told = [getattr(state, name) for state in truth]
        np.testing.assert_allclose(getattr(samples, name), told, rtol=1e-5, atol=1e-8, err_msg=name)
