"""Signals: alerts, deduplicated and grouped; nothing is answered before it is durable."""
