"""Changes, freezes, maintenance windows."""
