"""Webhooks: the outbox, sending, addresses, and the doors."""
