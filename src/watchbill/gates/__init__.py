"""Gates: conditions, decisions, approvals."""
