"""Several cells that take turns in the beam, as on a sample changer: frame after frame the next one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ringwatch_simulators.cell_current import CyclingState
from ringwatch_simulators.cycler import NS_PER_H, Cycler
from ringwatch_simulators.cycler_options import CyclerOptions
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.measured_maps import MeasuredMaps
from ringwatch_simulators.scenario import FrameTruth, SyntheticFrames
from ringwatch_simulators.scenario_catalogue import Scenario
from ringwatch_simulators.supply import Exposure, SuppliedFrame

CELL = "Cell"
"""Attribute that names the cell in the beam."""
CELL_IN_PATH = "{cell}"


@dataclass(frozen=True, slots=True)
class Turn:
    """One of the cells.

    Parameters
    ----------
    ahead_h
        So much further in its course than the run is.
    absent
        Phases that it does not have.
    """

    name: str
    ahead_h: float = 0.0
    absent: frozenset[str] = frozenset()


def turn_from_text(text: str) -> Turn:
    """Read ``NAME`` or ``NAME@HOURS``.

    Raises
    ------
    ScenarioError
        It reads otherwise.
    """
    name, _, hours = text.partition("@")
    try:
        return Turn(name, float(hours or 0.0))
    except ValueError as error:
        raise ScenarioError(f"a cell reads NAME or NAME@HOURS, got {text!r}") from error


class FramesInTurn(SyntheticFrames):
    """The frames of a scenario, each of the cell whose turn it is; darks keep nobody's turn.

    Parameters
    ----------
    turns
        In their order.
    unnamed
        Frames that do not say whose turn it is, as while the changer moves.
    attribute
        That names the cell in the beam.
    """

    def __init__(
        self,
        scenario: Scenario,
        start_ns: int,
        turns: tuple[Turn, ...],
        unnamed: frozenset[int] = frozenset(),
        *,
        attribute: str = CELL,
        maps: MeasuredMaps | None = None,
    ) -> None:
        super().__init__(scenario, start_ns, maps)
        self._turns = turns
        self._unnamed = unnamed
        self._attribute = attribute

    def frame(self, exposure: Exposure) -> SuppliedFrame:
        """The frame of that number, which names its cell."""
        found = super().frame(exposure)
        name = "moving" if exposure.index in self._unnamed else self.turn(exposure.index).name
        return replace(found, attributes=(*found.attributes, (self._attribute, name)))

    def turn(self, index: int) -> Turn:
        """Whose turn it is."""
        return self._turns[max(0, index - self.scenario.darks) % len(self._turns)]

    def truth(self, index: int) -> FrameTruth:
        """What is true of frame `index`: the state of the cell whose turn it is, in the beam of the run."""
        turn, of_run = self.turn(index), super().truth(index)
        time_h = of_run.cell.time_h
        cell = replace(self.model.at(time_h + turn.ahead_h), time_h=time_h, monitor=of_run.cell.monitor)
        phases = tuple(replace(phase, area=0.0) if phase.name in turn.absent else phase for phase in cell.phases)
        cell = replace(cell, phases=phases)
        seen = of_run.a_seen_A / of_run.cell.a_A
        return replace(of_run, cell=cell, a_seen_A=cell.a_A * seen, c_seen_A=cell.c_A * seen, cell_name=turn.name)


class CyclersInTurn:
    """The cyclers of all cells, each with a file of its own.

    Parameters
    ----------
    options
        Of each, in their order.
    """

    def __init__(
        self,
        frames: FramesInTurn,
        turns: tuple[Turn, ...],
        *,
        begin_ns: int,
        options: Sequence[CyclerOptions],
        go_on: bool = False,
    ) -> None:
        self._cyclers = tuple(
            Cycler(
                frames.model,
                start_ns=frames.start_ns - round(turn.ahead_h * NS_PER_H),
                begin_ns=begin_ns,
                options=own,
                go_on=go_on,
            )
            for turn, own in zip(turns, options, strict=True)
        )

    def states(self, data_ns: int) -> tuple[CyclingState, ...]:
        """Current and voltage of each cell at a data time."""
        return tuple(cycler.state(data_ns) for cycler in self._cyclers)

    def advance(self, data_ns: int) -> int:
        """Write every row up to `data_ns`; return how many."""
        return sum(cycler.advance(data_ns) for cycler in self._cyclers)


def options_of_turn(options: CyclerOptions, turn: Turn) -> CyclerOptions:
    """The same options with the cell's name in the place of ``{cell}``.

    Raises
    ------
    ScenarioError
        The path has no such place.
    """
    path = options.path
    if path is None:
        return options
    if CELL_IN_PATH not in path.name:
        raise ScenarioError(f"the cyclers of several cells need a file each: expected {CELL_IN_PATH} in {path.name}")
    return replace(options, path=path.with_name(path.name.replace(CELL_IN_PATH, turn.name)))
