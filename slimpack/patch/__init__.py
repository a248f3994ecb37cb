"""Patches: what a layer differs in from layers that the other side has already.

A patch rebuilds the compressed blob of a layer, bit for bit: the tars of old layers,
patched, give the new tar, and the compressor gives the blob again. docs/bundle-format.md
describes the format.

- `info`: what a patch says about itself, before any of it is used.
- `make`: makes patches against the layers of an old image.
- `apply`: rebuilds layers; patches are untrusted input there.
"""
