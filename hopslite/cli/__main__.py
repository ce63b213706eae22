"""`python -m hopslite.cli`, which is the command `hopslite`."""

import sys

from . import main

sys.exit(main())
