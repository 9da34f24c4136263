"""The administrators' pages: people, teams, API keys, and the activity log. One file per noun; importing registers."""

from promptlab.accounts.admin import activity, keys, people, teams

__all__ = ["activity", "keys", "people", "teams"]
