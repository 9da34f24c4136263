"""Wording a mail: plain text from a template per kind, with one link and the headers that mail programs understand."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils import translation

from promptlab.hooks.models import Mail
from promptlab.hooks.services import choosing


def letter(mail: Mail) -> EmailMessage:
    """Return the mail as it is sent; every attempt has the same Message-ID, so that a second copy can be told."""
    subject, text = _worded(mail)
    return EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, [mail.user.email], headers=_headers(mail))


def _worded(mail: Mail) -> tuple[str, str]:
    """Return subject and text in the language the reader chose. The first line of a template is the subject."""
    facts = {**mail.facts, "person": str(mail.user), "link": settings.SITE_URL + mail.path}
    with translation.override(mail.user.language or settings.LANGUAGE_CODE):
        subject, _, text = render_to_string(f"mail/{mail.kind}.txt", facts).strip().partition("\n")
    return " ".join(subject.split()), text.strip() + "\n"


def _headers(mail: Mail) -> dict[str, str]:
    host = urlsplit(settings.SITE_URL).hostname
    headers = {
        "Message-ID": f"<mail-{mail.uid.hex}@{host}>",
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": f"<{settings.SITE_URL}{choosing.unsubscribe_path(mail)}>",
    }
    if settings.SITE_URL.startswith("https://"):
        # RFC 8058: one click is offered over HTTPS only.
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers
