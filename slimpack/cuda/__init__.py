"""CUDA: drivers, what images require of them, builds of packages, and GPU code in libraries.

Nothing here runs anything, and no GPU is needed.
"""
