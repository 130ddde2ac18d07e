"""`python -m ringwatch_daemon` is `ringwatch`."""

import sys

from ringwatch_daemon.cli import main

sys.exit(main())
