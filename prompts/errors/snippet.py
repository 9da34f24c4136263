"""What is refused about texts that include others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, Invalid


class SnippetNotFound(Invalid):
    """A text includes what the team does not have. `names` are all of them."""

    code = "snippet_not_found"
    detail = _("There is no prompt to include under the name {missing}.")

    @classmethod
    def of(cls, absent: Sequence[Any]) -> SnippetNotFound:
        """Return the error for some `snippets.Absent`."""
        names = list(dict.fromkeys(one.name for one in absent))
        return cls(missing=", ".join(names), names=names)


class SnippetNotLive(Conflict):
    """What a version includes is live nowhere in an environment. `names` are all of it."""

    code = "snippet_not_live"
    detail = _("Not live in {environment}: {missing}. Put it live there first.")

    @classmethod
    def of(cls, absent: Sequence[Any], environment: str) -> SnippetNotLive:
        """Return the error for some `snippets.Absent`."""
        names = list(dict.fromkeys(one.name for one in absent))
        missing = ", ".join(dict.fromkeys(f"{one.name} (included by {one.by})" for one in absent))
        return cls(missing=missing, names=names, environment=environment)


class SnippetCycle(Conflict):
    code = "snippet_cycle"
    detail = _("Texts include each other in a circle: {path}.")


class SnippetTooDeep(Conflict):
    code = "snippet_too_deep"
    detail = _("Texts include each other more than {most} levels deep: {path}.")


class SnippetOtherSyntax(Conflict):
    code = "snippet_syntax"
    detail = _("{prompt} is written in {syntax} and includes {snippet}, which is written in {other}. Use one syntax.")


class SnippetsTooLong(Conflict):
    code = "snippets_too_long"
    detail = _("With all that it includes, {prompt} is longer than {most} characters.")


class SnippetInUse(Conflict):
    """Live versions include it: without it they could not be served. `names` are their prompts."""

    code = "snippet_in_use"
    detail = _("Live in {environment} and including {prompt}: {users}. Put versions without it live first.")
