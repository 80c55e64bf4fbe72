"""`python -m clicv2lite`."""

import sys

from clicv2lite.cli import main

sys.exit(main())
