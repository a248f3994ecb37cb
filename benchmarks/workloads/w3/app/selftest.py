"""``python selftest.py``: a line a check, exit code 1 at the first failure."""

import sys

from checks import arrays, flowers, run, serving, tensors

sys.exit(run(arrays, tensors, flowers, serving))
