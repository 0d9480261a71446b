"""Conversations as files: written to take away, read from elsewhere. `transfer` is the way in."""
