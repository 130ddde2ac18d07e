import logging
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringwatch_daemon.core.service_notify import ServiceNotifier


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """A service manager's end, not yet bound."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(10.0)
        yield listening


@pytest.fixture(params=["path", "abstract"])
def notifier(request: pytest.FixtureRequest, manager: socket.socket, tmp_path: Path) -> ServiceNotifier:
    if request.param == "path":
        address = str(tmp_path / "notify")
        manager.bind(address)
    else:
        address = f"@ringwatch-test-{secrets.token_hex(8)}"
        manager.bind("\0" + address[1:])
    return ServiceNotifier.from_environment({"NOTIFY_SOCKET": address})


def test_ready_comes_with_how_things_stand(notifier: ServiceNotifier, manager: socket.socket) -> None:
    notifier.ready("waits for 13PE1:Pva1:Image")
    assert manager.recv(4096) == b"READY=1\nSTATUS=waits for 13PE1:Pva1:Image"


def test_every_notice_is_a_datagram_of_its_own(notifier: ServiceNotifier, manager: socket.socket) -> None:
    notifier.status("frame 12, ratio 5.4(2), 25 °C")
    notifier.watchdog()
    notifier.extend_timeout(1.5)
    notifier.stopping("3 frames still to be written")
    assert manager.recv(4096).decode() == "STATUS=frame 12, ratio 5.4(2), 25 °C"
    assert manager.recv(4096) == b"WATCHDOG=1"
    assert manager.recv(4096) == b"EXTEND_TIMEOUT_USEC=1500000"
    assert manager.recv(4096) == b"STOPPING=1\nSTATUS=3 frames still to be written"


def test_a_status_cannot_smuggle_in_another_notice(notifier: ServiceNotifier, manager: socket.socket) -> None:
    notifier.status("fine\nREADY=1")
    assert manager.recv(4096) == b"STATUS=fine READY=1"


def test_without_a_socket_in_the_environment_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    ServiceNotifier.from_environment({}).ready("nobody asked")
    assert caplog.records == []


def test_an_address_of_another_kind_is_said_once_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    notifier = ServiceNotifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"})
    notifier.watchdog()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "vsock:2:1234" in caplog.text


def test_a_manager_that_is_gone_does_not_stop_the_daemon(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ServiceNotifier(str(tmp_path / "nobody")).watchdog()
    assert "the service manager did not take WATCHDOG=1" in caplog.text
