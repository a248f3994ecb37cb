"""How slimpack's costs grow: with packages, files, bytes and images. See `part`."""
