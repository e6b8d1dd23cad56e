"""Shared Django plumbing: database principals, row-level security, the request's transaction, jobs, idempotency."""
