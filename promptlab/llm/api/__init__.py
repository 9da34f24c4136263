"""Providers, models and prices over REST."""
