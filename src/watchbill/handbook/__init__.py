"""The handbook: reading, plan, acceptance, revisions."""
