"""Secrets: encrypted at rest under a wrapped key each, never shown again, every use recorded."""
