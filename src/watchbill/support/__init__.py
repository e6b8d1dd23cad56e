"""Support tickets and their clocks."""
