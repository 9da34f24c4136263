"""What somebody has to know before a version goes live: what changes, for whom, and what is in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.lib.errors import Conflict, DomainError
from promptlab.lib.formats import fmt_int
from prompts import diff
from prompts.admin.moving import pace
from prompts.admin.shown import PRODUCTION, page_of, version_label
from prompts.admin.technical import also_changed
from prompts.errors import ReviewRequired
from prompts.models import Environment, Prompt, Version
from prompts.services import deploying
from prompts.services.suite_gate import Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at before a version goes live: whether it is as it should be, in words, and where to see to it."""

    is_met: bool
    sentence: str
    url: str = ""

    @property
    def label(self) -> str:
        return gettext("fine") if self.is_met else gettext("look at this")

    @property
    def kind(self) -> str:
        return "ok" if self.is_met else "warn"


checks_above: list[Callable[[Principal, Version, Environment], Check]] = []
"""What floors above know of a version that is to go live, one query each. They add themselves here."""


def checks(actor: Principal, wanted: Version, where: Environment, in_the_way: Sequence[Conflict]) -> list[Check]:
    """Return what to look at before `wanted` goes live: its review first, then what floors above say."""
    missing = any(isinstance(error, ReviewRequired) for error in in_the_way)
    return [_review(wanted, where, missing), *(look(actor, wanted, where) for look in checks_above)]


def _review(wanted: Version, where: Environment, is_missing: bool) -> Check:
    names = {"version": version_label(wanted), "environment": where}
    if is_missing:
        is_asked = wanted.review_state == Version.ReviewState.IN_REVIEW
        url = page_of("version_change" if is_asked else "version_submit", wanted.pk)
        return Check(False, gettext("%(version)s is not approved yet.") % names, url)
    if where.is_protected:
        return Check(True, gettext("%(version)s is approved.") % names)
    return Check(True, gettext("%(environment)s asks for no review.") % names)


def size_change(live: Version, wanted: Version) -> str:
    """Return how many words more or fewer the text has."""
    more = len(diff.readable(wanted).split()) - len(diff.readable(live).split())
    if not more:
        return gettext("As many words as before.")
    told = (
        ngettext("%(count)s word more.", "%(count)s words more.", more)
        if more > 0
        else ngettext("%(count)s word fewer.", "%(count)s words fewer.", -more)
    )
    return told % {"count": fmt_int(abs(more))}


def choices(prompt: Prompt, where: Environment, may_pass: bool) -> list[dict[str, Any]]:
    """Return the versions to choose from, the newest first: {"number", "label", "is_closed"}.

    Closed is what misses its review there, with that behind its name; unless who chooses `may_pass` without.
    """
    versions = Version.objects.filter(prompt=prompt).newest_first()
    return list(_choices(versions.only("number", "version_string", "message", "review_state"), where, may_pass))


def _choices(versions: Iterable[Version], where: Environment, may_pass: bool) -> Iterator[dict[str, Any]]:
    asks = where.is_protected and where.approvals_needed > 0
    for one in versions:
        is_missing = asks and one.review_state != Version.ReviewState.APPROVED
        said = [version_label(one), one.message, gettext("not approved") if is_missing else ""]
        yield {
            "number": one.number,
            "label": " – ".join(filter(None, said)),
            "is_closed": is_missing and where.four_eyes and not may_pass,
        }


def verdicts_shown(found: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Return what each test suite that is asked for says: its name, whether it is green, and the runs it looked at."""
    return [
        {
            "suite": one.suite.name,
            "label": gettext("green") if one.is_green else gettext("not green"),
            "kind": "ok" if one.is_green else "bad",
            "url": page_of("suiterun_change", one.run.pk) if one.run else page_of("suite_change", one.suite.pk),
        }
        for one in found
    ]


def foreseen(
    wanted: Version, where: Environment, live: Version | None, users: Sequence[Version]
) -> tuple[bool, list[str]]:
    """Return whether callers meet other blanks, and what to warn of: what is included, and what includes it."""
    try:
        changes = deploying.changed_variables(wanted, where, live, users)
    except DomainError as error:
        return False, [error.told]
    rows = diff.variables(live, wanted) if live else None
    seen = {wanted.prompt.name} if changes.get(wanted.prompt.name) == rows else set()
    return bool(changes), [f"{name}: {change}" for name, change in changes.items() if name not in seen]


def ticks(live: Version | None, wanted: Version, where: Environment, changed: bool) -> dict[str, Any]:
    """Return what has to be ticked: that apps know of other blanks; before customers see it, that it was compared."""
    ticks: dict[str, Any] = {}
    if live is None or live.pk == wanted.pk:
        return ticks
    if changed:
        ticks["apps_know"] = _("The applications know about the blanks")
    if where.name == PRODUCTION:
        ticks["compared"] = _("I compared the two versions")
    return ticks


def consequences(live: Version | None, wanted: Version, where: Environment, users: Sequence[Version]) -> list[Any]:
    names = {"number": wanted.number, "environment": where, "live": live.number if live else ""}
    if live is None:
        first = _("Apps that ask for this prompt in %(environment)s get v%(number)s. Until now they got an error.")
    else:
        first = _("Apps in %(environment)s get v%(number)s instead of v%(live)s.")
    titles = also_changed(users)
    also = [_("It also changes: %(titles)s.") % {"titles": titles}] if titles else []
    return [first % names, *also, pace(where)]
