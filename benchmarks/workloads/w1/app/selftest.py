"""``python selftest.py``: a line a check, exit code 1 at the first failure."""

import sys

from checks import arrays, flowers, learning, run, science, serving, tables

sys.exit(run(arrays, science, learning, tables, flowers, serving))
