"""Workloads, the local channel and the runners that measure slimpack."""
