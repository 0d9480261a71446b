"""Conversations and messages, kept in a database."""
