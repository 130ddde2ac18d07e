"""Processes that a command starts: found on free ports, heard when they end, and never left behind."""

import socket

import pytest

from fakes.configurations import configuration
from ringwatch_daemon.core.errors import DetectorError, SubscriptionError
from ringwatch_daemon.daemon_process import DaemonProcess
from ringwatch_daemon.demo import while_it_lives
from ringwatch_daemon.local_beamline import SimulatedBeamline, free_ports, free_tcp_pair

pytestmark = pytest.mark.sockets


def test_free_ports_are_free_for_both_protocols_and_differ():
    ports = free_ports()
    numbers = [ports.channel_access, ports.pva, ports.pva_search]
    assert len(set(numbers)) == 3
    for number in numbers:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("127.0.0.1", number))


def test_an_endpoint_has_a_free_neighbour_for_late_joiners():
    port = int(free_tcp_pair().rpartition(":")[2])
    for number in (port, port + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", number))


def test_servers_and_clients_stay_on_loopback():
    environment = free_ports().server_environment()
    for name, value in environment.items():
        if "ADDR_LIST" in name and "AUTO" not in name:
            assert value == "127.0.0.1", name
        if "AUTO" in name:
            assert value == "NO", name


def test_a_simulated_beamline_that_cannot_start_says_why():
    with (
        SimulatedBeamline("--no-such-option", ports=free_ports()) as beamline,
        pytest.raises(DetectorError, match=r"the simulated beamline did not start: .*no-such-option"),
    ):
        beamline.wait_ready()


def test_a_daemon_that_ends_is_quoted_with_its_last_words(tmp_path):
    path = configuration(tmp_path, "[binning]\nbinz = 3")
    with (
        DaemonProcess(path, tmp_path / "run.h5") as daemon,
        pytest.raises(DetectorError, match=r"the daemon ended with code 2: ringwatch: .*binning.binz"),
    ):
        daemon.wait_connected()


class _SilentAfter:
    """The messages of a publisher that falls silent."""

    def __init__(self, *messages):
        self._messages = iter(messages)

    def __iter__(self):
        return self

    def __next__(self):
        for message in self._messages:
            return message
        raise SubscriptionError("no message came within 15 s")


class _Ended:
    """A daemon that has ended by itself, or as it was asked to."""

    ended = True

    def __init__(self, *, asked):
        self._asked = asked

    def require_alive_or_stopping(self):
        if not self._asked:
            raise DetectorError("the daemon ended with code 1: its last words")


def test_a_daemon_that_falls_silent_is_looked_after():
    told = while_it_lives(_SilentAfter("one", "two"), _Ended(asked=False))
    assert [next(told), next(told)] == ["one", "two"]
    with pytest.raises(DetectorError, match="its last words"):
        next(told)
    assert list(while_it_lives(_SilentAfter("one"), _Ended(asked=True))) == ["one"]
