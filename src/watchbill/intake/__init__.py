"""Intake: one adapter per protocol. A sender is answered after its data is durable."""
