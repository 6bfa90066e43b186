"""Makers of evidence. Nothing outside this package imports it except who chose a platform by name."""
