"""Starts before the image is there: eStargz and zstd:chunked beside a plain pull.

`engine` is containerd with its stargz-snapshotter, `images` what is started, `starts` one start;
`part` is the benchmark.
"""
