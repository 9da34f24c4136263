"""What accounts refuse."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, DomainError, Invalid, Unauthenticated


class BadKey(Unauthenticated):
    """Unknown, revoked and expired keys are told the same thing, so that nothing can be learned by trying."""

    code = "invalid_api_key"
    detail = _("This API key is not valid. It may be mistyped, expired or revoked.")


class UnknownScope(Invalid):
    code = "unknown_scope"
    detail = _("There is no scope {scope!r}. Scopes: {known}.")


class TeamNameTaken(Conflict):
    code = "team_taken"
    detail = _("A team is already named {name}.")


class LastAdministrator(Conflict):
    code = "last_administrator"
    detail = _("{person} is the last administrator of {team}. Make somebody else one first.")


class KeyRevoked(Conflict):
    code = "key_revoked"
    detail = _("The key {key} was revoked. Make a new one.")


class CallKeyReused(DomainError):
    """The same idempotency key came with another body."""

    code = "idempotency_key_reused"
    status = 422
    detail = _("This idempotency key was already used for another request. Make a new key for each one.")


class CallStillRunning(Conflict):
    """The first call with this idempotency key has not ended."""

    code = "idempotency_still_running"
    detail = _("The first call with this idempotency key is still being answered. Wait, then send it again.")
