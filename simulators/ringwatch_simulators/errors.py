"""What the simulators refuse.

::

    SimulatorError
    ├── FrameFileError     a recorded frame cannot be read
    ├── ScenarioError      a scenario or its arguments make no sense
    └── FaultError         a fault on request cannot be understood
"""


class SimulatorError(Exception):
    """Base of everything the simulators raise on purpose."""


class FrameFileError(SimulatorError):
    """A recorded frame cannot be read."""


class ScenarioError(SimulatorError):
    """A scenario or its arguments make no sense."""


class FaultError(SimulatorError):
    """A fault on request cannot be understood."""
