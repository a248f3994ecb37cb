"""Builds that follow an earlier one: what did not change is neither installed nor read again.

Everything here gives exactly the image that a build from nothing gives, or nothing at
all: where it cannot be told that an earlier result still holds, the build starts from
nothing. `keys` says what a result follows from, `remembered` is what is kept of an
environment's part, `swap` puts other packages into one.
"""
