"""What tests, demo and benchmarks need besides Python: a Docker engine, other tools, a channel.

::

    python -m benchmarks.setup engine   a Docker engine that answers, or an error
    python -m benchmarks.setup tests    that and the rest; what cannot be had is told
    python -m benchmarks.setup stop     end the Docker engine that was started here

Nothing is done where it is not needed. Packages are installed only as root, and
only with apt; anybody else is told what is missing.
"""
