"""Signing in: password with TOTP, one-time links, OpenID Connect; sessions; API tokens at the door."""
