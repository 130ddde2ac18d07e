"""What has to hold after every recovery, and at the end of every run."""

from collections.abc import Sequence
from itertools import pairwise

from chaos.account import Account, Hearing, Row, account_of, rows_of
from chaos.beamline import Beamline
from chaos.listener import Heard
from chaos.violations import Violation
from fakes.service import assert_whole, texts
from ringwatch_daemon.client import GAP, subscribe

PATIENCE_S = 60.0
LATE = ("REJECTED", "LATE")


def check_recovered(beamline: Beamline) -> Account:
    """After a fault: one run, a file that opens plainly, every published result in it, every frame named."""
    heard = list(beamline.listener.frames)  # before the file is read: what is published is in it by then
    rows = rows_of(beamline.output)
    _require_published(heard, rows)
    _require_numbers(beamline)
    _require_one_run(beamline)
    _require_no_traceback(beamline)
    return _account(beamline, rows, stopped_ns=None)


def check_ended(beamline: Beamline, *, stopped_ns: int) -> Account:
    """After a clean stop: the same, totals that balance, and nothing left beside the file."""
    beamline.wait_until(beamline.listener.stopped.is_set, "the end of the run on the stream")
    try:
        assert_whole(beamline.output)
    except AssertionError as error:
        raise Violation(f"the totals of {beamline.output.name} do not balance: {error}") from error
    if beamline.output.with_name(beamline.output.stem + ".resume").exists():
        raise Violation("a run that ended well left what it needs to be resumed")
    heard, rows = list(beamline.listener.frames), rows_of(beamline.output)
    _require_published(heard, rows)
    _require_numbers(beamline)
    return _account(beamline, rows, stopped_ns=stopped_ns)


def check_newcomer(beamline: Beamline) -> None:
    """Who joins now hears the run from its start on, and is told of what nobody has any more."""
    expected = 0
    with subscribe(beamline.endpoint, timeout_s=PATIENCE_S) as messages:
        for message in messages:
            if message.kind == GAP:
                expected = int(message.data["last_seq"]) + 1
                continue
            if message.seq != expected or (expected == 0 and message.kind != "run.start"):
                raise Violation(f"a newcomer expected message {expected}, got {message.seq} ({message.kind})")
            expected += 1
            if message.kind == "frame.tracking":
                return


def _require_published(heard: Sequence[Heard], rows: Sequence[Row]) -> None:
    for frame in heard:
        if frame.row >= len(rows):
            raise Violation(f"frame {frame.unique_id} was published as row {frame.row}, the file has {len(rows)} rows")
        row = rows[frame.row]
        came_late = frame.state == "LOST" and (row.state, row.reason) == LATE
        same = (row.unique_id, row.received_ns, row.state) == (frame.unique_id, frame.received_ns, frame.state)
        if not same and not came_late:
            raise Violation(f"published was {frame}, the file has {row}")


def _require_numbers(beamline: Beamline) -> None:
    listener = beamline.listener
    if listener.failure is not None:
        raise Violation(f"the subscriber failed: {listener.failure}")
    numbers = list(listener.numbers)
    if any(after <= before for before, after in pairwise(numbers)):
        raise Violation("a number of the stream came twice, or out of its order")
    known = set(numbers)
    for first, last in list(listener.gaps):
        known.update(range(first, last + 1))
    missing = sorted(set(range(numbers[-1] + 1)) - known) if numbers else []
    if missing:
        raise Violation(f"messages {missing[:5]} of the stream are neither heard nor told as gone")


def _require_one_run(beamline: Beamline) -> None:
    expected = {beamline.output.stem}
    files = {path.stem for path in beamline.runs.glob("*.h5")}
    if beamline.listener.runs - expected:
        raise Violation(f"the stream was expected to tell of run {expected}, got {beamline.listener.runs}")
    if len(files) != beamline.run_number:
        raise Violation(f"{beamline.run_number} runs were begun, and there are the files {sorted(files)}")


def _require_no_traceback(beamline: Beamline) -> None:
    log = beamline.daemon.log
    if "Traceback" in log and "MemoryError" not in log:
        raise Violation(f"the daemon's log holds a traceback: {log[log.index('Traceback') :][-1500:]}")


def _account(beamline: Beamline, rows: Sequence[Row], *, stopped_ns: int | None) -> Account:
    served = beamline.served()
    deaths_ns = list(beamline.deaths_ns)
    if beamline.protocol == "ca":
        # Channel Access hands out the newest value only: a counter that is set back may hide what it had reached.
        deaths_ns += [frame.counted_ns for frame in served if "restart" in frame.faults]
    hearing = Hearing(tuple(beamline.silences), tuple(deaths_ns))
    account = account_of(rows, served, hearing=hearing, stopped_ns=stopped_ns)
    if account.unnamed:
        kinds = texts(beamline.output, "text")[-6:]
        raise Violation(f"{len(account.unnamed)} frames are lost without a name: {account.unnamed[:5]}; {kinds}")
    return account
