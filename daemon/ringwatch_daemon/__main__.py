"""`python -m ringwatch_daemon` is `ringwatch`."""

from ringwatch_daemon.cli import main

main()
