"""Paging: escalation, deliveries, channels. A delivery is a row before it is a message."""
