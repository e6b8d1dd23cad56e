"""Readers of one cell or phrase each: a typed value, or a named reason why there is none."""
