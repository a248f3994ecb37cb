"""What an image holds, what slimming took, and what differs between two."""
