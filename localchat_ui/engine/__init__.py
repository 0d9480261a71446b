"""The engine: tokens in, tokens out. It knows nothing of conversations, users or pages."""
