"""Procedures, troubleshooting, alert pages."""
