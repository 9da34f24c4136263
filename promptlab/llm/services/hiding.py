"""What a team never sends to a model as it is: kinds of values, and patterns of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction

from promptlab.accounts.access import Principal
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid
from promptlab.llm import finding
from promptlab.llm.finding import Masks, PatternRefused
from promptlab.llm.keeping import forget_on_commit
from promptlab.llm.models import Masking, MaskPattern
from promptlab.llm.routes import read_masks
from promptlab.llm.services.allowing import require_admin


def set_masking(actor: Principal, team_id: int, *, kinds: Sequence[str], patterns: Mapping[str, str]) -> Masks:
    """Say what is replaced before every call of a team, in place of what was said before, and return it.

    `kinds` are of `finding.KINDS`, `patterns` by their names. Raises Invalid naming the field.
    """
    require_admin(actor, team_id)
    words = in_words(kinds, "kinds")
    _check(patterns)
    with transaction.atomic():
        # One change after the other.
        Team.objects.select_for_update(no_key=True).get(pk=team_id)
        row, _ = Masking.objects.get_or_create(team_id=team_id)
        before = {"kinds": row.kinds, "patterns": dict(read_masks(team_id).patterns)}
        after = {"kinds": words, "patterns": dict(sorted(patterns.items()))}
        if before != after:
            row.kinds = words
            row.save(update_fields=["kinds"])
            MaskPattern.objects.filter(team_id=team_id).delete()
            rows = (MaskPattern(team_id=team_id, name=name, pattern=pattern) for name, pattern in patterns.items())
            MaskPattern.objects.bulk_create(rows)
            record(actor, "masking.changed", row, team_id=team_id, before=before, after=after)
            forget_on_commit(team_id)
    return read_masks(team_id)


def in_words(kinds: Sequence[str], field: str) -> str:
    """Return the kinds as a row keeps them. Raises Invalid for one that nobody knows."""
    if not set(kinds) <= set(finding.KINDS):
        raise Invalid.field(field, f"One of: {', '.join(finding.KINDS)}.", code="invalid_choice")
    return " ".join(kind for kind in finding.KINDS if kind in kinds)


def _check(patterns: Mapping[str, str]) -> None:
    if len(patterns) > finding.MAX_PATTERNS:
        raise Invalid.field("patterns", f"At most {finding.MAX_PATTERNS} patterns.", code="too_many")
    for name, pattern in patterns.items():
        if not finding.NAME.fullmatch(name) or name in finding.KINDS:
            detail = f"A name has 2 to 20 small letters and underscores, and is none of: {', '.join(finding.KINDS)}."
            raise Invalid.field("patterns", detail, code="bad_name")
        try:
            finding.compiled(pattern)
        except PatternRefused as error:
            raise Invalid.field(f"patterns.{name}", str(error), code="bad_pattern") from error
