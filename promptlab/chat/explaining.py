"""Reads: why somebody was shown this text, from the receipt of it: each rule that fired, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone
from promptlab_sdk.kernel.assignment import SLOTS

from experiments.errors import ReceiptInvalid
from experiments.models import Experiment, Phase, Variant
from experiments.receipts import Receipt
from experiments.specs import experiment_spec
from promptlab.chat.models import Message
from prompts.models import DeploymentEvent, Environment, Version


@dataclass(frozen=True, slots=True)
class Rule:
    """One step of the decision: a word for programs, and a sentence."""

    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was served and why. `answer` is None for a receipt that many share; `variant` outside of experiments."""

    receipt: Receipt
    version: Version
    environment: Environment
    move: DeploymentEvent | None
    experiment: Experiment | None
    variant: Variant | None
    answer: Message | None
    rules: tuple[Rule, ...]


def explain(receipt: Receipt) -> Explanation:
    """Return what the receipt stands for: five queries at most. Raises ReceiptInvalid when its rows are gone."""
    version = Version.objects.select_related("prompt__collection").filter(pk=receipt.version_id).first()
    environment = Environment.objects.filter(pk=receipt.environment_id).first()
    if version is None or environment is None or not version.checksum.startswith(receipt.checksum):
        raise ReceiptInvalid
    variant = _variant(receipt)
    move = _move(receipt)
    answer = None if receipt.is_shared else _answer(receipt)
    return Explanation(
        receipt=receipt,
        version=version,
        environment=environment,
        move=move,
        experiment=variant.experiment if variant else None,
        variant=variant,
        answer=answer,
        rules=tuple(_rules(receipt, version, environment, move, variant)),
    )


def _variant(receipt: Receipt) -> Variant | None:
    if not receipt.variant_id:
        return None
    found: Variant | None = Variant.objects.select_related("experiment").filter(pk=receipt.variant_id).first()
    return found


def _move(receipt: Receipt) -> DeploymentEvent | None:
    """Return the move of the prompt's pointer that was in force at the receipt's revision."""
    moves = DeploymentEvent.objects.filter(
        prompt_id=receipt.prompt_id, environment_id=receipt.environment_id, revision__lte=receipt.revision
    )
    found: DeploymentEvent | None = moves.select_related("to_version").order_by("-revision").first()
    return found


def _answer(receipt: Receipt) -> Message | None:
    rows = Message.objects.with_uids([receipt.answer]).filter(conversation__team_id=receipt.team_id)
    found: Message | None = rows.select_related("version__prompt", "conversation", "environment").first()
    return found


def _rules(
    receipt: Receipt, version: Version, environment: Environment, move: DeploymentEvent | None, variant: Variant | None
) -> list[Rule]:
    rules = []
    if move is not None and move.to_version is not None:
        moment = timezone.localtime(move.at).strftime("%Y-%m-%d %H:%M:%S %Z")
        said = f"{move.actor_label} made version {move.to_version.number} live in {environment.name} at {moment}"
        rules.append(Rule("live", f"{said} (revision {move.revision})."))
    if receipt.is_forced:
        rules.append(Rule("override", _forced(receipt)))
    elif variant is not None:
        rules.append(Rule(*_split(receipt, variant)))
    elif move is None or move.to_version_id != version.pk:
        rules.append(
            Rule("pinned", f"The caller asked for version {version.number} by name; what is live did not count.")
        )
    else:
        rules.append(Rule("no_experiment", "No experiment decided: everybody was served what was live."))
    return rules


def _split(receipt: Receipt, variant: Variant) -> tuple[str, str]:
    experiment = variant.experiment
    said = f"Experiment {experiment.key}, phase {receipt.phase}"
    if receipt.slot < 0:
        return "variant", f"{said}: this is the text of variant {variant.key}."
    detail = f"{said}: the unit has slot {receipt.slot} of {SLOTS}"
    owned = _range(receipt, variant)
    if owned is not None:
        detail += f", and variant {variant.key} owns {owned[0]} to {owned[1] - 1}"
    return "split", f"{detail}. It was assigned {variant.key}."


def _forced(receipt: Receipt) -> str:
    key = Experiment.objects.filter(pk=receipt.experiment_id).values_list("key", flat=True).first()
    return f"Experiment {key}, phase {receipt.phase}: the unit is on the list of those who try a variant out. It is not counted."


def _range(receipt: Receipt, variant: Variant) -> tuple[int, int] | None:
    """Return the slots of the variant around the receipt's, as they were in its phase; None where nobody wrote that down."""
    experiment = variant.experiment
    if experiment.phase == receipt.phase:
        spec = experiment_spec(list(experiment.variants.select_related("version__prompt", "experiment__namespace")))
        owned = next(one.ranges for one in spec.variants if one.key == variant.key)
    else:
        phase = Phase.objects.filter(experiment=experiment, number=receipt.phase).first()
        owned = phase.shares.get(variant.key, {}).get("owned", []) if phase else []
    return next(((lo, hi) for lo, hi in owned if lo <= receipt.slot < hi), None)
