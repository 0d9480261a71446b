"""A private chat with a language model that runs on your own machine."""

__version__ = "0.1.0"
