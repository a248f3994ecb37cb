"""``python selftest.py``: a line a check, exit code 1 at the first failure."""

import sys

from checks import arrays, inference, run, serving, tokens, tongues

sys.exit(run(arrays, inference, tokens, tongues, serving))
