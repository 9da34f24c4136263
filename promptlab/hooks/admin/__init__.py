"""The pages of webhooks, for administrators, and of mails."""

from __future__ import annotations

from promptlab.hooks.admin import mails, webhooks

__all__ = ["mails", "webhooks"]
