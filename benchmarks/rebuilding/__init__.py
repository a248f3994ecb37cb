"""The parts of `benchmarks.rebuild`."""
