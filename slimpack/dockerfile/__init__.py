"""An equivalent multi-stage Dockerfile, for those who must build with BuildKit.

Only what Docker 20.10's own BuildKit understands is used (dockerfile 1.2: cache and secret
mounts), so that no ``# syntax=`` line has to fetch a frontend. Reference of the language:
docs.docker.com/reference/dockerfile, and its parser in moby/buildkit.
"""
