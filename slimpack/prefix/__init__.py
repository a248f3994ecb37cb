"""An installed prefix as input: what is in it, what was changed, and where it names itself."""
