"""What the experiment pages say in sentences. Numbers come finished from `results`, verdicts from the stored analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from experiments import findings
from experiments.models import Experiment
from experiments.results import ENOUGH_RATINGS, ENOUGH_TIME, ExperimentResults, Status
from experiments.stats.verdict import Verdict
from promptlab.audit.models import AuditEntry
from promptlab.lib.formats import DASH, fmt_int, fmt_money, fmt_ms, fmt_pct, fmt_wait

State = Experiment.State

KINDS = {
    State.DRAFT: "neutral",
    State.RUNNING: "info",
    State.PAUSED: "warn",
    State.STOPPED: "neutral",
    State.KILLED: "bad",
}
"""State -> ground of its badge."""

LABELS = {
    "start": gettext_lazy("Start"),
    "pause": gettext_lazy("Pause"),
    "resume": gettext_lazy("Go on"),
    "stop": gettext_lazy("End"),
    "kill": gettext_lazy("Stop now"),
}
LOOKS = {"start": "primary", "resume": "primary", "pause": "plain", "stop": "plain", "kill": "danger"}
"""What can be done -> how its button looks."""

HAPPENED = {
    "experiment.created": gettext_lazy("set it up"),
    "experiment.start": gettext_lazy("started it"),
    "experiment.pause": gettext_lazy("paused it: everybody gets the current text"),
    "experiment.resume": gettext_lazy("let it go on"),
    "experiment.stop": gettext_lazy("ended it"),
    "experiment.kill": gettext_lazy("stopped it at once: everybody gets the current text"),
    "experiment.concluded": gettext_lazy("concluded it"),
    "experiment.coverage": gettext_lazy("let other users take part"),
    "experiment.shares": gettext_lazy("changed the shares"),
    "experiment.dealt_anew": gettext_lazy("dealt all users anew"),
    "experiment.overrides": gettext_lazy("changed who tries texts out"),
    "experiment.shared": gettext_lazy("shared the results by a link"),
    "experiment.unshared": gettext_lazy("ended a link to the results"),
    "rollups.repaired": gettext_lazy("repaired the sums"),
    "ramp.started": gettext_lazy("started the gradual launch"),
    "ramp.advanced": gettext_lazy("let more people have the new text"),
    "ramp.held": gettext_lazy("held it where it was"),
    "ramp.resumed": gettext_lazy("let it go on"),
    "ramp.rolled_back": gettext_lazy("sent everyone back to the text before"),
    "ramp.completed": gettext_lazy("gave everyone the new text"),
    "ramp.aborted": gettext_lazy("broke it off"),
}


MARKED = ("experiment.pause", "experiment.resume", "experiment.shares", "experiment.coverage", "experiment.dealt_anew")
"""What is marked on charts over time, when it happened."""
SPOKEN_OF = (Verdict.WORSE, Verdict.AHEAD, Verdict.OVERDUE, Verdict.NO_DIFFERENCE, Verdict.KEEP_GOING)
"""Verdicts under which the comparison is shown; under the others there are only counts."""


IN_SHORT = {
    Verdict.NO_DATA: ("warn", gettext_lazy("Nobody has seen it.")),
    Verdict.DO_NOT_TRUST: ("bad", gettext_lazy("Do not trust")),
    Verdict.WORSE: ("bad", gettext_lazy("A text is worse")),
    Verdict.TOO_EARLY: ("info", gettext_lazy("Too early")),
    Verdict.AHEAD: ("ok", gettext_lazy("A text is better")),
    Verdict.NO_DIFFERENCE: ("neutral", gettext_lazy("No real difference.")),
    Verdict.OVERDUE: ("warn", gettext_lazy("The planned end has passed.")),
    Verdict.KEEP_GOING: ("info", gettext_lazy("Keep it running")),
}
"""What a line of the list says of an experiment that runs: ground and words of a badge."""


def in_short(experiment: Experiment, verdict: str) -> tuple[str, str]:
    """Return ground and words of the badge in the list; no words where there is nothing to say."""
    if experiment.concluded_at is not None:
        return "neutral", str(experiment.get_outcome_display())
    kind, said = IN_SHORT.get(Verdict(verdict), ("", "")) if verdict and experiment.is_serving else ("", "")
    return kind, str(said)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the page says first: one heading, why, what to do next. `kind`: ok, info, warn, bad or neutral."""

    kind: str
    heading: str
    why: str = ""
    next_step: str = ""


def standing(found: ExperimentResults, experiment: Experiment) -> Standing:
    """Return what may be said now: what people decided, the verdict that a worker kept, or what needs none."""
    end_note = experiment.end_note
    if experiment.concluded_at is not None:
        return _concluded(found, experiment)
    if found.kept is None or found.status in (Status.ENDED, Status.NOT_STARTED, Status.PAUSED):
        kind = KINDS[State(found.state)]
        note = _("Until there are enough ratings for each text, go by the ranges: the rates still move.")
        return Standing(kind, status_sentence(found, end_note), note if found.status == Status.TOO_EARLY else "")
    return _of_verdict(Verdict(found.kept["verdict"]), found.kept["about"], found, found.kept)


def _concluded(found: ExperimentResults, experiment: Experiment) -> Standing:
    """Say what was decided, which text stays, and what was learned. No query: the variants are there."""
    kept = next((str(one) for one in experiment.variants.all() if one.pk == experiment.kept_variant_id), "")
    heading = _("Decided: %(outcome)s.") % {"outcome": experiment.get_outcome_display()}
    stays = _("“%(name)s” stays.") % {"name": kept} if kept else ""
    why = _("What was learned: %(lesson)s") % {"lesson": experiment.lesson}
    kind = "ok" if experiment.outcome == Experiment.Outcome.WON else "neutral"
    return Standing(kind, f"{heading} {stays}".strip(), f"{_ended(found, '')} {why}")


def _of_verdict(said: Verdict, about: str, found: ExperimentResults, results: Mapping[str, Any]) -> Standing:
    facts = " ".join(filter(None, [f"{_running(found)}.", findings.changes(_names(found), results), _uneven(results)]))
    name = {"name": _name(found, about)}
    if said == Verdict.NO_DATA:
        return Standing("warn", _("Nobody has seen it."), facts, _("Check that apps fetch this prompt."))
    if said == Verdict.DO_NOT_TRUST:
        next_step = _("Ask a developer, and decide nothing until the reason is found.")
        return Standing("bad", _("Do not trust these numbers yet."), _distrust(results), next_step)
    if said == Verdict.WORSE:
        facts = f"{facts} {_broken(found, about, results)}".strip()
        return Standing("bad", _("“%(name)s” is worse.") % name, facts, _("Stop it now."))
    if said == Verdict.TOO_EARLY:
        return Standing("info", status_sentence(found), "", _wait_for(results))
    if said == Verdict.AHEAD:
        next_step = _("Decide: say what came of it, and put “%(name)s” live.") % name
        return Standing("ok", _("“%(name)s” is better.") % name, facts, next_step)
    if said == Verdict.NO_DIFFERENCE:
        advice = _("Take the cheaper or the faster text.")
        return Standing("neutral", _("No real difference."), facts, f"{advice} {_prices(found, results)}".strip())
    if said == Verdict.OVERDUE:
        next_step = _("Decide which text stays: the numbers alone do not.")
        return Standing("warn", _("The planned end has passed."), facts, next_step)
    return Standing("info", _("Keep it running: nothing is proven yet."), facts, _wait_for(results))


def _uneven(results: Mapping[str, Any]) -> str:
    """Return what to beware of where one text is rated more often than the other."""
    if any(one["rating_rate"] and one["rating_rate"]["is_alarming"] for one in results["changes"].values()):
        return _("But people do not rate all texts equally often: a change below 5 points may be no change.")
    return ""


def _broken(found: ExperimentResults, about: str, results: Mapping[str, Any]) -> str:
    """Return which limits besides the thumbs-up rate a text is proven to break: `Over its limit: Wait +41.4 % (+10.0 %).`"""
    harmful = [one for one in results["guardrails"] if one["treatment"] == about and one["is_harmful"]]
    broken = [findings.shown(one, _name(found, about)) for one in harmful if one["metric"] != "approval"]
    told = ", ".join(f"{one.label} {one.change} ({one.limit})" for one in broken)
    return _("Over its limit: %(broken)s.") % {"broken": told} if broken else ""


def doubt(found: ExperimentResults) -> dict[str, str] | None:
    """Return what has to stand beside the counts while they say little, as a badge; None where they may speak."""
    verdict = found.kept["verdict"] if found.kept else ""
    if verdict == Verdict.DO_NOT_TRUST:
        return {"label": _("Do not trust"), "kind": "bad"}
    if verdict == Verdict.TOO_EARLY or found.status == Status.TOO_EARLY:
        return {"label": _("Too early"), "kind": "info"}
    return None


def _prices(found: ExperimentResults, results: Mapping[str, Any]) -> str:
    """Return what each text costs and how long it takes: `Short: $0.45 for 1,000 answers, half of them under 830 ms.`"""
    parts = []
    for key, one in results["variants"].items():
        cost, wait = one["cost_per_request"], one["wait_ms"]["p50"]
        if cost is not None and wait is not None:
            facts = {"name": _name(found, key), "cost": fmt_money(1000 * cost), "wait": fmt_ms(wait)}
            parts.append(_("%(name)s: %(cost)s for 1,000 answers, half of them under %(wait)s") % facts)
    return f"{'; '.join(parts)}." if parts else ""


def _distrust(results: Mapping[str, Any]) -> str:
    if results["split"]["is_wrong"]:
        return _(
            "Users are not split as planned. Usual causes: robots, an app that keeps old answers, "
            "a crash in one of the texts, users counted under several names."
        )
    return _("Half of the answers of one text fail: the numbers say more about errors than about texts.")


def _wait_for(results: Mapping[str, Any]) -> str:
    days = results["plan"]["days_to_end"] if results["plan"]["planned_ratings"] else results["days_to_decision"]
    if not days:
        return _("Wait: this page says so when something is proven.")
    return ngettext("About %(days)s more day.", "About %(days)s more days.", days) % {"days": fmt_int(days)}


def _names(found: ExperimentResults) -> dict[str, str]:
    return {one.key: one.name for one in found.variants}


def _name(found: ExperimentResults, key: str) -> str:
    return next((one.name for one in found.variants if one.key == key), key)


def status_sentence(found: ExperimentResults, end_note: str = "") -> str:
    """Return where the experiment stands, in one or two sentences. Names no winner: that takes more than two ranges."""
    if found.status == Status.ENDED:
        return _ended(found, end_note)
    if found.status == Status.TOO_EARLY:
        return _too_early(found)
    if found.status == Status.COMPARABLE:
        return _("%(running)s. %(rates)s") % {"running": _running(found), "rates": _rates(found)}
    return {
        Status.NOT_STARTED: _("Not started yet."),
        Status.PAUSED: _("Paused: everybody gets the current text, and nothing is counted."),
        Status.NO_DATA: _("Nobody has seen it yet. Check that apps fetch this prompt."),
    }[found.status]


def _too_early(found: ExperimentResults) -> str:
    facts = {
        "running": _running(found),
        "fewest": fmt_int(found.fewest_ratings),
        "enough": fmt_int(ENOUGH_RATINGS),
    }
    return _("Too early to say. %(running)s; the least rated text has %(fewest)s of %(enough)s ratings.") % facts


def _running(found: ExperimentResults) -> str:
    return _("Running for %(time)s") % {"time": _ran_for(found)}


def _ran_for(found: ExperimentResults) -> str:
    """Return whole days; in the first one, hours or less."""
    if not found.days:
        return fmt_wait(found.ran_for.total_seconds() if found.ran_for else 0)
    return ngettext("%(days)s day", "%(days)s days", found.days) % {"days": fmt_int(found.days)}


def _rates(found: ExperimentResults) -> str:
    rates = ", ".join(f"{variant.name} {fmt_pct(variant.approval)}" for variant in found.variants)
    return _("Thumbs-up so far: %(rates)s.") % {"rates": rates}


def _ended(found: ExperimentResults, note: str) -> str:
    if found.days is None:
        ended = _("Ended before it started.")
    elif found.state == State.KILLED:
        ended = _("Stopped at once. Everybody gets the live text.")
    else:
        ended = _("Ended after %(time)s.") % {"time": _ran_for(found)}
    return f"{ended} {_('Reason: %(note)s') % {'note': _(note)}}" if note else ended


def log_sentence(entry: AuditEntry) -> str:
    """Return what an entry of the activity log says was done, after the person's name."""
    done = str(HAPPENED.get(entry.verb, entry.verb))
    return f"{done} ({entry.note})" if entry.note else done


def how_computed() -> str:
    """Return how the numbers come about, for people who want to know."""
    return _(
        "Each person sees one text, always the same; their ratings count for the text they saw. "
        "A rating that is changed counts once, with its last value.\n\n"
        "Thumbs-up rate: thumbs-up among all ratings. Likely range: the 95 %% score interval of that rate "
        "(Wilson, 1927), which takes every rating for another person's; when few people rate often it is too narrow. "
        "Do not stop the first time two ranges part: looked at often enough, equal texts do that too.\n\n"
        "Too early: less than %(time)s, or fewer than %(ratings)s ratings for some text."
    ) % {"time": fmt_wait(ENOUGH_TIME.total_seconds()), "ratings": fmt_int(ENOUGH_RATINGS)}


def percent(value: float | None) -> str:
    """Return a rate in words for a table; a dash while there is none."""
    return DASH if value is None else fmt_pct(value)
