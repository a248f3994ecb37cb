"""The embedded engine: py-rattler in a short-lived process."""
