"""From what a user names to what goes into a bundle: a way through, beside build and pack."""
