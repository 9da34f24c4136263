"""Versions and the history of live versions are kept by the database itself."""

from django.db import migrations

from promptlab.lib.frozen import Freeze

VERSION = (
    "id", "prompt_id", "number", "version_string", "text", "messages", "model", "parameters", "variables", "message",
    "checksum", "author_label", "created_at",
)  # fmt: skip
"""Everything but the author, whose account may be removed (their name stays in `author_label`)."""

EVENT = (
    "id", "prompt_id", "environment_id", "kind", "from_version_id", "to_version_id", "before_id", "restores_id",
    "revision", "note", "actor_label", "at",
)  # fmt: skip


class Migration(migrations.Migration):

    dependencies = [("prompts", "0001_initial")]

    operations = [
        Freeze("prompts_version", VERSION, erasable=["author_id"], keys=[["id"], ["prompt_id", "number"]]),
        Freeze("prompts_deploymentevent", EVENT, erasable=["actor_id"], keys=[["id"], ["environment_id", "revision"]]),
    ]
