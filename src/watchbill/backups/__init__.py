"""Backup policies and restore drills."""
