"""Packages from PyPI: pip resolves and builds, `installer` installs."""
