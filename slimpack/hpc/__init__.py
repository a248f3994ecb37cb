"""An image's whole root file system in one file, for sites that run no container engine.

Apptainer and enroot run a squashfs of it; Apptainer's own SIF is that squashfs behind a header.
"""
