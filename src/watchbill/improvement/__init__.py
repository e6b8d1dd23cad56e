"""The improvement backlog."""
