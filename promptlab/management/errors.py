"""What keeps a command from doing its work."""

from __future__ import annotations


class CannotStart(Exception):
    """`manage.py up` cannot go on; the message is one sentence for the person at the terminal, with the next step."""
