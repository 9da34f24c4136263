"""Single calls of a prompt as people read them, with no more of their texts than is kept."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from feedback.services.privacy import Keeping, read_privacy
from feedback.usage.asking import Asked
from feedback.usage.calls import Call, calls
from promptlab.accounts.access import Principal
from promptlab.chat.models import Message
from promptlab.chat.services.conversations import retention_of
from promptlab.lib.formats import DASH, fmt_datetime, fmt_int, fmt_money, fmt_ms, fmt_name
from prompts.models import Prompt

TALKS = "chat.read"
TEXTS = (TALKS, "prompt.write")
"""What it takes to see the texts of answers beside their numbers: writers do."""


def shown(
    principal: Principal, prompt: Prompt, asked: Asked, *, number: int, before: int | None = None
) -> dict[str, Any]:
    """Return the context of `_calls.html`: calls, and whether and for how long texts are kept. Five queries."""
    may_open, may_read = principal.may(TALKS, prompt.team_id), all(principal.may(one, prompt.team_id) for one in TEXTS)
    keeping = read_privacy(prompt.team_id)
    has_texts = may_read and keeping.keeps_text
    found = calls(asked, number=number, before=before, has_texts=has_texts)
    return {
        "calls": [_shown(one, keeping, may_open) for one in found],
        "has_texts": has_texts,
        "kept_words": _kept(keeping, retention_of(prompt.team_id) if keeping.keeps_text else None, may_read),
    }


def _shown(one: Call, keeping: Keeping, may_open: bool) -> dict[str, Any]:
    answer = one.answer
    talk = reverse("admin:chat_conversation_change", args=[answer.conversation_id])
    text = "" if answer.purged_at else keeping.stored(one.excerpt)
    return {
        "pk": answer.pk,
        "at": fmt_datetime(answer.ended_at),
        "version": f"v{number_of(answer)}",
        "environment": fmt_name(place_of(answer)),
        "model": answer.model or DASH,
        "wait": fmt_ms(answer.latency_ms),
        "tokens": f"{fmt_int(answer.input_tokens)} → {fmt_int(answer.output_tokens)}",
        "cost": DASH if answer.is_external else fmt_money(answer.cost_usd),
        "rating": _thumbs(one),
        "outcome": answer.get_state_display(),
        "kind": "ok" if answer.state == Message.State.COMPLETED and not answer.error_code else "warn",
        "error": answer.error_code,
        "trace": answer.request_id,
        "url": f"{talk}#message-{answer.pk}" if may_open else "",
        "text": text or _("not kept"),
    }


def _thumbs(one: Call) -> str:
    told = [(_("up"), one.ups), (_("down"), one.downs)]
    return ", ".join(word if count == 1 else f"{fmt_int(count)} {word}" for word, count in told if count) or DASH


def _kept(keeping: Keeping, days: int | None, may_read: bool) -> str:
    """Return what is kept of the texts, and for how long."""
    if not keeping.keeps_text:
        return _("This team keeps no texts of answers.")
    kept = ngettext("Texts are kept for %(days)s day.", "Texts are kept for %(days)s days.", days or 0)
    told = kept % {"days": fmt_int(days)} if days else _("Texts are kept until somebody removes them.")
    return told if may_read else f"{told} {_('Writers see them.')}"


def number_of(answer: Message) -> int:
    """Return the number of the version that answered: `calls` has none without one."""
    assert answer.version is not None
    return answer.version.number


def place_of(answer: Message) -> str:
    """Return the name of the environment it answered in."""
    assert answer.environment is not None
    return answer.environment.name
