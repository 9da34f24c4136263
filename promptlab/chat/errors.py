"""What the gateway refuses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Invalid, NotFound, RateLimited, Unavailable


class ConversationNotFound(NotFound):
    code = "conversation_not_found"
    detail = _("There is no conversation {conversation}.")


class MessageNotFound(NotFound):
    code = "message_not_found"
    detail = _("There is no message {message}.")


class MissingVariables(Invalid):
    code = "missing_variable"
    detail = _("The prompt {prompt} needs: {names}.")


class TooManyStreams(RateLimited):
    code = "too_many_streams"
    detail = _("This key has {limit} answers under way. Wait until one of them ends.")


class StreamsFull(Unavailable):
    code = "streams_full"
    detail = _("As many answers are under way here as there is room for. Try again shortly.")


class BudgetNotFound(NotFound):
    code = "budget_not_found"
    detail = _("There is no such budget.")


class BudgetUsedUp(RateLimited):
    """`budget`: which one, its limit and period, and when it is whole again. Its period began at `starts_at`."""

    code = "insufficient_quota"
    detail = _(
        "The budget is used up: {budget[limit_usd]} US dollars a {budget[period]} for the {budget[of]} {budget[name]}."
    )

    def __init__(self, budget: Mapping[str, Any], starts_at: datetime, retry_after_s: int) -> None:
        super().__init__(retry_after_s=retry_after_s, budget=budget)
        self.starts_at = starts_at

    @property
    def is_of_experiment(self) -> bool:
        return bool(self.data["budget"]["of"] == "experiment")


class BudgetNeedsPrice(Invalid):
    code = "budget_needs_price"
    detail = _(
        "Nobody knows what {model} costs, and a budget has to be kept: write its prices down, "
        "or let the budget take calls of unknown price."
    )
