"""Locks: their data, their file formats, and whether one still fits its specification."""
