"""Workspaces, persons, teams, access roles, contact methods, API tokens."""
