"""``python selftest.py``: a line a check, exit code 1 at the first failure."""

import sys

from checks import links, run, serving, standard

sys.exit(run(standard, links, serving))
