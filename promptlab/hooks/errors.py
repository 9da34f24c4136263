"""What webhooks and mail refuse."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Invalid, NotFound


class UnknownEventType(Invalid):
    code = "unknown_event_type"
    detail = _("There is no event {type!r}. Events: {known}.")


class WebhookNotFound(NotFound):
    code = "webhook_not_found"
    detail = _("There is no such webhook.")


class DeliveryNotFound(NotFound):
    code = "delivery_not_found"
    detail = _("There is no such delivery.")


class WebhookOff(Conflict):
    code = "webhook_off"
    detail = _("The webhook to {host} is switched off. Switch it on first.")


class TooManyWebhooks(Conflict):
    code = "too_many_webhooks"
    detail = _("A team has at most {most} webhooks. Remove one first.")


class UnknownMailKind(Invalid):
    code = "unknown_mail_kind"
    detail = _("There is no kind of mail {kind!r}. Kinds: {known}.")


class NoMailForKeys(NotFound):
    code = "no_mail_for_keys"
    detail = _("A key gets no mail. Sign in as a person to choose yours.")


class NoSuchLink(NotFound):
    code = "no_such_link"
    detail = _("This link is not complete. Copy all of it, or choose your mails in PromptLab.")
