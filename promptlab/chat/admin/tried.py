"""What the page before a version goes live says of it from here: whether it ever answered."""

from __future__ import annotations

from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext

from promptlab.accounts.access import Principal
from promptlab.chat.models import Message
from prompts.admin import readiness
from prompts.admin.readiness import Check
from prompts.models import Environment, Version


def tried(actor: Principal, version: Version, environment: Environment) -> Check:
    """Return whether the version was tried, or used, at least once: the first answer that is found will do."""
    names = {"number": version.number}
    answers = Message.objects.answers().filter(version=version, state=Message.State.COMPLETED)
    if answers.exists():
        return Check(True, gettext("v%(number)s was tried at least once.") % names)
    where = {"prompt": version.prompt_id, "text": version.number}
    page = f"{reverse('admin:chat_conversation_try')}?{urlencode(where)}"
    return Check(False, gettext("Nobody has tried v%(number)s yet.") % names, page)


readiness.checks_above.append(tried)
