from datetime import timedelta
from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.utils import timezone


def mark(apps: Any, schema_editor: Any) -> None:
    """Have workers count what was answered before there were daily sums; it takes too long for here."""
    tomorrow = timezone.now().date() + timedelta(days=1)
    apps.get_model("experiments", "DayMark").objects.get_or_create(pk=1, defaults={"counted_from": tomorrow})


class Migration(migrations.Migration):

    dependencies = [
        ("prompts", "0001_initial"),
        ("experiments", "0015_conclusion_requests"),
    ]

    operations = [
        migrations.CreateModel(
            name="DayMark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("counted_from", models.DateField(null=True)),
                ("turn", models.PositiveBigIntegerField(default=0)),
                ("recounted_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "mark of the daily sums",
                "verbose_name_plural": "mark of the daily sums",
            },
        ),
        migrations.CreateModel(
            name="DayRollup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("model", models.CharField(blank=True, max_length=100)),
                ("day", models.DateField()),
                ("requests", models.BigIntegerField(default=0)),
                ("shown", models.BigIntegerField(default=0)),
                ("errors", models.BigIntegerField(default=0)),
                ("ratings", models.BigIntegerField(default=0)),
                ("ups", models.BigIntegerField(default=0)),
                ("input_tokens", models.BigIntegerField(default=0)),
                ("output_tokens", models.BigIntegerField(default=0)),
                ("cost_nanousd", models.BigIntegerField(default=0)),
                ("unpriced", models.BigIntegerField(default=0)),
                ("priced", models.BigIntegerField(default=0)),
                ("wait_counts", models.JSONField(default=dict)),
                ("environment", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="prompts.environment")),
                ("prompt", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="prompts.prompt")),
                ("version", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="prompts.version")),
            ],
            options={
                "verbose_name": "daily sum",
                "verbose_name_plural": "daily sums",
                "indexes": [models.Index(fields=["prompt", "day"], name="rollup_prompt_day")],
                "constraints": [models.UniqueConstraint(fields=("day", "version", "environment", "model"), name="rollup_day_cell")],
            },
        ),
        migrations.RunPython(mark, migrations.RunPython.noop),
    ]
