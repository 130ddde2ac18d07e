"""Fixtures that every test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def cache_of_this_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept of calibrations goes with the tests, those in processes of their own included."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CACHE_DIRECTORY", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings beside the checkout."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real recordings are not here: expected the folder shared/data beside the checkout")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests went over real sockets, and which protocols they spoke."""
    passed = [report for report in terminalreporter.getreports("passed") if "sockets" in report.keywords]
    spoken = {
        "Channel Access": ("channel_access", "live_epics", "[ca]", "pyepics", "ophyd", "protocol"),
        "PVA": ("pva", "[pva]", "p4p", "ophyd", "protocol", "hostile"),
        "ZeroMQ": ("zmq", "client", "stream", "subscri"),
    }
    counts = ", ".join(
        f"{name} {sum(any(word in report.nodeid for word in words) for report in passed)}"
        for name, words in spoken.items()
    )
    terminalreporter.write_line(f"{len(passed)} tests went over real sockets on loopback, among them {counts}")
