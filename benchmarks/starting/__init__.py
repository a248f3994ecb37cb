"""Cold start, part by part: an image that is not there is pulled over a link, started and asked.

`engines` are Docker, podman and containerd, each with a store of its own (`daemons`), so that
nothing of an image can be there already. `measuring` is one start; `part` is the benchmark.
"""
