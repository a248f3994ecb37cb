"""Images of workloads, made by every method: what they hold, and what making them costs.

`project` is a workload whose channel can move, `making` a method that makes its image,
`dockerfiles` and `ours` are the kinds of methods. `images` and `builds` are the two parts of
``python -m benchmarks`` that are made of them.
"""
