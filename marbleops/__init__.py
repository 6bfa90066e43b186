"""marbleops."""
