"""What a portable archive carries to work anywhere: activation, conda-unpack, the installer."""
