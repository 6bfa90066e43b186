"""marble."""
