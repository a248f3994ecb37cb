"""``python selftest.py``: a line a check, exit code 1 at the first failure."""

import sys

from checks import arrays, boosting, columns, flowers, parquet_service, run, serving, tables

sys.exit(run(arrays, tables, columns, boosting, flowers, parquet_service, serving))
