"""Turn a conda environment into a small, fast-starting, reproducible container image."""

__version__ = "0.1.0"
