"""How experiments are shown to editors: states, texts with their shares, shares in percent."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext

from experiments.models import Experiment, Variant
from promptlab.accounts.access import Principal
from promptlab.lib.formats import fmt_pct

State = Experiment.State

KINDS = {
    State.DRAFT: "neutral",
    State.RUNNING: "info",
    State.PAUSED: "warn",
    State.STOPPED: "neutral",
    State.KILLED: "bad",
}
"""State -> ground of its badge."""


def share(share_bp: int) -> str:
    """Return basis points as a percentage, with decimals where there are any."""
    return fmt_pct(share_bp / 10_000, 2 if share_bp % 100 else 0)


def variant_row(variant: Variant, control: Variant | None = None) -> dict[str, Any]:
    """Return what `_variants.html` shows of a text; with the `control` also where both are compared."""
    prompt_id, number = variant.version.prompt_id, variant.version.number
    compare_url = ""
    if control is not None and control.version_id != variant.version_id:
        compare = reverse("admin:prompts_prompt_compare", args=[prompt_id])
        compare_url = f"{compare}?a={control.version.number}&b={number}"
    return {
        "name": str(variant),
        "key": variant.key,
        "is_control": variant.is_control,
        "is_named_so": str(variant) == gettext("Current text"),
        "share": share(variant.weight_bp),
        "version": f"v{number}",
        "note": "; ".join(filter(None, [variant.version.message, settings_of(variant)])),
        "url": reverse("admin:prompts_version_change", args=[variant.version_id]),
        "compare_url": compare_url,
    }


def variant_rows(experiment: Experiment) -> list[dict[str, Any]]:
    """Return the texts of an experiment, the current one first."""
    variants = list(experiment.variants.all())
    return [variant_row(one, variants[0]) for one in variants]


def settings_of(variant: Variant) -> str:
    """Return in which model and settings a variant differs from its version; empty for none."""
    said = [gettext("with the model %(model)s") % {"model": variant.model}] if variant.model else []
    said += [f"{name} {value}" for name, value in variant.parameters.items()]
    return ", ".join(said)


def results_url(experiment: Experiment, actor: Principal) -> str:
    """Return the address of the numbers; people in several teams say which one, because keys are a team's own."""
    url = reverse("dashboards:experiment", args=[experiment.key])
    return f"{url}?team={experiment.team_id}" if len(actor.grants) > 1 else url
