"""Whether an image stays below what ``[budget]`` allows (docs/ci.md).

An image is measured as `slimpack.report` does it; what it is compared with may be the JSON
of such a report, so that the image itself need not be kept.
"""
