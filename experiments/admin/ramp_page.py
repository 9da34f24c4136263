"""What the page of a gradual launch shows: its steps, what the next one still lacks, a tile per guarded measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from experiments import findings
from experiments.models import Ramp, RampDecision
from experiments.services.ramp_rules import Act, Reason, Step
from promptlab.lib.formats import fmt_int, fmt_pct, fmt_points, fmt_range, fmt_wait

State = Ramp.State

RULES: dict[str, Any] = {
    "by_hand": gettext_lazy("Somebody decided"),
    "guard_approval": gettext_lazy("Users like it less, proven"),
    "guard_success": gettext_lazy("Answers fail more often, proven"),
    "guard_latency": gettext_lazy("Users wait longer, proven"),
    "guard_format": gettext_lazy("Answers keep their format less often, proven"),
    "clean_requests": gettext_lazy("Enough requests without a suspicion"),
    "not_worse": gettext_lazy("A loss that matters is ruled out"),
    "live_version_moved": gettext_lazy("Another version was put live"),
    "experiment_stop": gettext_lazy("Its experiment was ended"),
    "experiment_kill": gettext_lazy("Its experiment was stopped at once"),
}


def share(share_bp: int) -> str:
    """Return a share of all users: `10 %`."""
    return fmt_pct(share_bp / 10_000, 2 if share_bp % 100 else 0)


def rule(name: str) -> str:
    """Return a rule of a decision in words."""
    return str(Reason(name).label if name in Reason.values and name != Reason.BY_HAND else RULES.get(name, name))


def steps(ramp: Ramp) -> list[dict[str, Any]]:
    """Return the steps in their order, everyone last, each with its time and where it stands."""
    found = [
        {
            "share": share(stage.share_bp),
            "time": _("%(least)s to %(most)s")
            % {"least": fmt_wait(_seconds(stage.min_dwell_s)), "most": fmt_wait(_seconds(stage.max_dwell_s))},
            **_state_of(ramp, index),
        }
        for index, stage in enumerate(ramp.plan)
    ]
    return [*found, {"share": _("Everyone"), "time": "", **_state_of(ramp, len(found))}]


def _state_of(ramp: Ramp, index: int) -> dict[str, str | bool]:
    """Return whether a step is done, now, waiting, or will not come; in a word, and as the ground of its badge."""
    if ramp.state == State.COMPLETED or index < ramp.stage_index:
        return {"word": _("Done"), "kind": "ok", "is_now": False}
    if index > ramp.stage_index:
        return {"word": _("To come") if ramp.is_open else _("Not reached"), "kind": "neutral", "is_now": False}
    if ramp.is_open:
        return {"word": _("Now"), "kind": "warn" if ramp.state == State.HELD else "info", "is_now": True}
    return {"word": _("Ended here"), "kind": "bad", "is_now": False}


def _seconds(dwell_s: int) -> float:
    """Return a time of the plan as it passes here."""
    return dwell_s / settings.RAMP_TIME_FACTOR


def missing(step: Step) -> list[str]:
    """Return what the next step still lacks, a sentence each; empty where nothing does."""
    return list(_missing(step))


def _missing(step: Step) -> Iterator[str]:
    left_s = _seconds(step.numbers["min_dwell_s"]) - step.numbers["in_stage_s"]
    if left_s > 0:
        yield _("%(time)s more at this step.") % {"time": fmt_wait(left_s)}
    gate = step.numbers["gate"]
    if gate["is_open"]:
        return
    if gate["rule"] == "clean_requests":
        yield from _requests_missing(gate)
    else:
        yield from _ratings_missing(gate, step.numbers)
    until_s = _seconds(step.numbers["max_dwell_s"]) - step.numbers["in_stage_s"]
    if step.act == Act.WAIT and step.rule != "held" and until_s > 0:
        yield _("If that does not come in %(time)s, it waits for a person.") % {"time": fmt_wait(until_s)}


def _requests_missing(gate: Mapping[str, Any]) -> Iterator[str]:
    lacking = gate["least_requests"] - gate["requests"]
    if lacking > 0:
        facts = {"lacking": fmt_int(lacking), "least": fmt_int(gate["least_requests"])}
        yield _("%(lacking)s of %(least)s requests of each text.") % facts
    if gate["suspects"]:
        names = ", ".join(str(findings.METRICS[one]) for one in gate["suspects"])
        yield _("A measure that does not look worse: %(names)s.") % {"names": names}


def _ratings_missing(gate: Mapping[str, Any], numbers: Mapping[str, Any]) -> Iterator[str]:
    texts = (numbers["control"], numbers["treatment"])
    ratings, people = (min(one[name] for one in texts) for name in ("unit_ratings", "raters"))
    lacking = max(0, gate["least_ratings"] - ratings), max(0, gate["least_users"] - people)
    if any(lacking):
        facts = {"ratings": fmt_int(lacking[0]), "people": fmt_int(lacking[1])}
        yield _("%(ratings)s ratings and %(people)s raters of the less rated text.") % facts
    limit = fmt_points(gate["above"])
    if gate["range"] is None:
        yield _("A change of the thumbs-up rate that is surely above %(limit)s.") % {"limit": limit}
    elif gate["range"][0] is None or gate["range"][0] <= gate["above"]:
        facts = {"limit": limit, "range": fmt_range(*gate["range"], unit="points")}
        yield _("A change of the thumbs-up rate that is surely above %(limit)s; it is %(range)s now.") % facts


def tiles(step: Step) -> list[findings.Shown]:
    """Return one tile per guarded measure, with its difference, its range and its limit."""
    return [findings.shown(one, _("New text")) for one in step.numbers["guard"]]


def lines(step: Step) -> list[str]:
    """Return what the numbers say now, a sentence per guarded measure."""
    return [findings.line(one, _("New text")) for one in step.numbers["guard"]]


def sent_back(decision: RampDecision | None) -> str:
    """Return what the numbers were when everyone was sent back, in a sentence; "" where that did not happen."""
    if decision is None or decision.kind != RampDecision.Kind.ROLLED_BACK:
        return ""
    harmful = [one for one in decision.numbers.get("guard", []) if one["is_harmful"]]
    return " ".join([f"{rule(decision.rule)}.", *(findings.line(one, _("New text")) for one in harmful)])


def decision_row(decision: RampDecision) -> dict[str, Any]:
    """Return a decision with every number that decided."""
    return {
        "at": decision.at,
        "kind": decision.get_kind_display(),
        "rule": rule(decision.rule),
        "share": share(decision.share_bp),
        "who": decision.actor_label,
        "note": decision.note,
        "revision": decision.revision,
        "lines": [findings.line(one, _("New text")) for one in decision.numbers.get("guard", [])],
    }
