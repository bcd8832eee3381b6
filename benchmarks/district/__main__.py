"""`python -m benchmarks.district`."""

import sys

from benchmarks.district.command import main
from neurocity.errors import NeuroCityError

try:
    main()
except NeuroCityError as error:
    sys.exit(str(error))
