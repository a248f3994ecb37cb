"""Proof that an image is what it should be."""
