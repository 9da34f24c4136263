from django.db import migrations

from promptlab.lib.frozen import Freeze

DECISION = (
    "id", "ramp_id", "stage_version", "stage_index", "share_bp", "kind", "rule", "numbers", "revision", "note",
    "actor_label", "code_version", "at",
)
"""All of it."""


class Migration(migrations.Migration):

    dependencies = [
        ('experiments', '0005_ramps'),
    ]

    operations = [
        # A ramp takes each step once, so such a row is the same row.
        Freeze("experiments_rampdecision", DECISION, keys=[["id"], ["ramp_id", "stage_version"]]),
    ]
