"""Objectives, thresholds, error budgets."""
