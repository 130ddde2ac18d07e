from fakes.records import event
from ringwatch_daemon.core.records import Status, Totals
from ringwatch_daemon.sinks.service_status import ServiceStatus


def status(*, connected: bool = True, processed: int = 0) -> Status:
    state = "CONNECTED" if connected else "DISCONNECTED"
    return Status(1, state, "13PE1:Pva1:Image", Totals(processed + 5, processed, 2, 3))


def test_the_line_says_how_the_run_stands_once_it_is_in_the_file() -> None:
    told: list[str] = []
    sink = ServiceStatus(told.append)
    sink.accept(status(processed=7))
    assert told == []
    sink.flush()
    assert told == ["connected: 13PE1:Pva1:Image; 7 processed, 2 rejected, 3 lost"]


def test_what_is_known_is_not_told_again_and_of_a_batch_only_the_newest() -> None:
    told: list[str] = []
    sink = ServiceStatus(told.append)
    for batch in ((1, 2), (2,), (3,)):
        for processed in batch:
            sink.accept(status(processed=processed))
        sink.flush()
    assert [line.split("; ")[1].split()[0] for line in told] == ["2", "3"]


def test_a_detector_that_is_gone_is_said() -> None:
    told: list[str] = []
    sink = ServiceStatus(told.append)
    sink.accept(event())
    sink.flush()
    sink.accept(status(connected=False))
    sink.flush()
    sink.close()
    assert [line.partition(":")[0] for line in told] == ["not connected"]
