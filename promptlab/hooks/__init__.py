"""Webhooks: what happened is told to other programs, signed, and told again until they have it."""
