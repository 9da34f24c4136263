"""Stars and uses of each prompt, added up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Avg, Count, F, Sum

BATCH = 500


def fill(apps: Any, schema_editor: Any) -> None:
    """Add up what there is; every prompt gets a row."""
    Prompt, Standing = apps.get_model("prompts", "Prompt"), apps.get_model("prompts", "Standing")
    since = datetime.now(UTC).date() - timedelta(days=30)
    days = apps.get_model("prompts", "PromptUsage").objects.filter(day__gt=since).order_by()
    uses = dict(days.values_list("prompt").annotate(n=Sum(F("fetches") + F("answers"))))
    given = apps.get_model("prompts", "Rating").objects.order_by().values("prompt")
    stars = {one["prompt"]: one for one in given.annotate(average=Avg("stars"), number=Count("pk"))}
    nothing = {"average": 0, "number": 0}
    rows = (
        Standing(
            prompt_id=pk,
            stars=stars.get(pk, nothing)["average"],
            ratings_count=stars.get(pk, nothing)["number"],
            uses_30d=uses.get(pk, 0),
        )
        for pk in Prompt.objects.order_by("pk").values_list("pk", flat=True).iterator()
    )
    Standing.objects.bulk_create(rows, batch_size=BATCH)


class Migration(migrations.Migration):

    dependencies = [
        ('prompts', '0010_serving_processes'),
    ]

    operations = [
        migrations.CreateModel(
            name='Standing',
            fields=[
                ('prompt', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='standing', serialize=False, to='prompts.prompt')),
                ('stars', models.FloatField(default=0, verbose_name='stars')),
                ('ratings_count', models.PositiveIntegerField(default=0, verbose_name='ratings')),
                ('uses_30d', models.PositiveBigIntegerField(default=0, verbose_name='uses in 30 days')),
            ],
            options={
                'verbose_name': 'standing',
                'verbose_name_plural': 'standings',
                'indexes': [models.Index(fields=['-stars', '-prompt'], name='standing_best'), models.Index(fields=['stars', '-prompt'], name='standing_worst'), models.Index(fields=['-uses_30d', '-prompt'], name='standing_most_used'), models.Index(fields=['uses_30d', '-prompt'], name='standing_least_used')],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
