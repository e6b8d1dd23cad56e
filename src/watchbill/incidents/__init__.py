"""Incidents: severities, clocks, roles, timeline."""
