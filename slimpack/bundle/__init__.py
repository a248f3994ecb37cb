"""One file that carries images, and all that belongs to them, across an air gap."""
