"""Trying whether a provider answers, and saying it in words."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from promptlab.accounts.access import Principal
from promptlab.audit.recorder import record
from promptlab.llm import probing
from promptlab.llm.models import Provider
from promptlab.llm.probing import Finding, Result
from promptlab.llm.refusals import ProviderNotReady
from promptlab.llm.routes import route_to
from promptlab.llm.services.allowing import locked_provider, require_admin


def check_provider(actor: Principal, provider: Provider) -> Finding:
    """Ask the provider which models it has, 10 seconds at most, keep how that went and return it."""
    require_admin(actor, provider.team_id)
    finding = _found(provider)
    with transaction.atomic():
        locked = locked_provider(provider)
        if locked.version == provider.version:
            locked.checked_at = timezone.now()
            locked.check_result, locked.check_status = finding.result.value, finding.status
            locked.save(update_fields=["checked_at", "check_result", "check_status"])
        record(actor, "provider.checked", locked, team_id=locked.team_id, after={"result": finding.result.value})
    return finding


def _found(provider: Provider) -> Finding:
    if provider.kind == Provider.Kind.ECHO:
        return Finding(Result.OK)
    try:
        return probing.probe(route_to(provider, ""))
    except ProviderNotReady:
        return Finding(Result.NOT_READY)


def words(result: str, status: int | None) -> str:
    """Return what a check found as one sentence with the next step; empty before the first."""
    sentences = {
        Result.OK: gettext("The address answered, and the key was accepted."),
        Result.KEY_REFUSED: gettext("The address answered, but the key was refused (%(status)s)."),
        Result.NOTHING_THERE: gettext(
            "The address answered, but lists no models (%(status)s). Check its path: most end in /v1."
        ),
        Result.REDIRECTED: gettext(
            "The address leads on to another one (%(status)s). Enter the one where models answer."
        ),
        Result.LIMITED: gettext("The address answered, but its limit for this key is reached (%(status)s)."),
        Result.FAILED: gettext("The address answered with an error (%(status)s). Try again later."),
        Result.UNREADABLE: gettext("The address answered, but not as a server of models does. Check it."),
        Result.TIMED_OUT: gettext("The address did not answer within 10 seconds."),
        Result.NOT_REACHED: gettext(
            "Nothing answered at this address. Check it, and whether it may be reached from here."
        ),
        Result.NOT_READY: gettext(
            "It was not called: its key is missing or cannot be read, or its address is not allowed."
        ),
    }
    return str(sentences[Result(result)]) % {"status": status} if result else ""
