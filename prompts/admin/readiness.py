"""What somebody has to know before a version goes live: what changes, for whom, and what is in the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.lib.errors import DomainError
from prompts import diff
from prompts.admin.moving import pace
from prompts.admin.shown import PRODUCTION, page_of
from prompts.admin.technical import also_changed
from prompts.models import Environment, Version
from prompts.services import deploying
from prompts.services.suite_gate import Verdict


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
