"""What `benchmarks.slim` is made of: the lower bound, running things in images, the results."""
