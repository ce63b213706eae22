"""`python -m hopslite.cli`: the command `hopslite`."""

import sys

from . import main

sys.exit(main())
