"""Tags that differ in big and small letters only become one, the oldest; the next migration keeps it so."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def merge(apps: Any, schema_editor: Any) -> None:
    Tag = apps.get_model("prompts", "Tag")
    Link = apps.get_model("prompts", "Prompt").tags.through
    kept: dict[tuple[int, str], int] = {}
    for pk, team_id, name in list(Tag.objects.order_by("id").values_list("id", "team_id", "name")):
        first = kept.setdefault((team_id, name.lower()), pk)
        if first == pk:
            continue
        has = set(Link.objects.filter(tag_id=first).values_list("prompt_id", flat=True))
        Link.objects.filter(tag_id=pk, prompt_id__in=has).delete()
        Link.objects.filter(tag_id=pk).update(tag_id=first)
        Tag.objects.filter(pk=pk).delete()


class Migration(migrations.Migration):
    dependencies = [("prompts", "0004_policies_and_reviews")]
    operations = [migrations.RunPython(merge, migrations.RunPython.noop)]
