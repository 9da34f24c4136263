"""Telling others: the outbox, its fan-out, sending, and the endpoints that people set up."""
