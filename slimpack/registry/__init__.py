"""Registries: names, credentials, pull, push and referrers.

Protocol: OCI distribution-spec v1.1; the token flow of CNCF distribution
(docs/spec/auth). `Registries` opens sessions; `push` and `pull` move images.
"""
