"""`python -m ringwatch_daemon` is `ringwatch`."""

import signal
import sys


def run() -> int:
    """Run a command; a signal ends the program without a word until the command listens for it itself."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ringwatch_daemon.cli import main  # noqa: PLC0415 - seconds may pass in here, in which a stop is asked for

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return main()


if __name__ == "__main__":
    sys.exit(run())
