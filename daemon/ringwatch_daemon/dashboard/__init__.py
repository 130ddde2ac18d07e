"""Readers of the stream that show it to people."""
