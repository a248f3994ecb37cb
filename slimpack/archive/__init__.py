"""Portable archives: writing them reproducibly, reading those of others safely."""
