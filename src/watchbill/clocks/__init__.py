"""Clocks: somebody must do something by a time, or somebody else hears of it."""
