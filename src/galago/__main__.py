"""`python -m galago` is `galago`."""

import sys

from galago.cli import main

sys.exit(main())
