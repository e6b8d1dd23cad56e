"""Stored files: content-addressed, scanned, and never served as a page from our address."""
