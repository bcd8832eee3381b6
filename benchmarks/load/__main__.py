"""`python -m benchmarks.load`."""

import sys

from benchmarks.load.command import main
from neurocity.errors import NeuroCityError

try:
    main()
except NeuroCityError as error:
    sys.exit(str(error))
