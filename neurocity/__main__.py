"""`python -m neurocity` is the command `neurocity`."""

import sys

from neurocity.cli import main

sys.exit(main())
