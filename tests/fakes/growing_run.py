"""Writes a run of made-up frames as fast as it can until it is killed, and says which rows are in the file."""

import sys
from pathlib import Path

from fakes import records
from ringwatch_daemon.sinks.nexus import NexusFile


def main(path: str, bins: str, batch: str) -> None:
    """Write for ever."""
    sink = NexusFile(path=Path(path))
    sink.accept(records.run_start(bins=int(bins)))
    sink.flush()
    row = 0
    while True:
        for _ in range(int(batch)):
            sink.accept(records.frame_record(row, bins=int(bins)))
            row += 1
        sink.accept(records.event(row - 1))
        sink.accept(records.cell_state_update(row // 2, row - 1))
        sink.flush()
        print(row, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
