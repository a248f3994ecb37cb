"""micromamba as an engine."""
