"""ELF files: what they need, what may go from them, and how ld.so finds their libraries."""
