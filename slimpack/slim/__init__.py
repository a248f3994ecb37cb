"""Declarative changes to a tree: each gives a new tree and says what it did."""
