"""Plumbing that knows no domain word."""
