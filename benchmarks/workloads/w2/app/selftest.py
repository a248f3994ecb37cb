"""``python selftest.py``: a line a check, exit code 1 at the first failure."""

import sys

from checks import arrays, flowers, inference, run, serving

sys.exit(run(arrays, inference, flowers, serving))
