"""The pages of conversations, and of budgets for administrators."""

from __future__ import annotations

from promptlab.chat.admin import budgets, conversations, repricings, tried

__all__ = ["budgets", "conversations", "repricings", "tried"]
