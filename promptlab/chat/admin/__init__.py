"""The pages of conversations, and of budgets for administrators."""

from __future__ import annotations

from promptlab.chat.admin import budgets, conversations

__all__ = ["budgets", "conversations"]
