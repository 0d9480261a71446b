"""The user's GGUF files: found, described, downloaded."""
