"""What makes searches and lists of many prompts quick."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from prompts.services import indexing


def make(apps: Any, schema_editor: Any) -> None:
    indexing.make_indexes(schema_editor.connection)


def drop(apps: Any, schema_editor: Any) -> None:
    indexing.drop_indexes(schema_editor.connection)


class Migration(migrations.Migration):

    dependencies = [("prompts", "0007_search_documents")]

    operations = [
        migrations.AddIndex(
            model_name="prompt",
            index=models.Index(condition=models.Q(("archived_at", None)), fields=["team", "-id"], name="prompt_listed"),
        ),
        migrations.AddIndex(
            model_name="prompt", index=models.Index(fields=["team", "-created_at"], name="prompt_made")
        ),
        migrations.AddIndex(model_name="prompt", index=models.Index(fields=["team", "title"], name="prompt_titled")),
        migrations.AddIndex(
            model_name="prompt", index=models.Index(fields=["team", "model_type", "-id"], name="prompt_of_model")
        ),
        migrations.AddIndex(
            model_name="prompt", index=models.Index(fields=["collection", "-id"], name="prompt_collected")
        ),
        migrations.AddIndex(
            model_name="version", index=models.Index(fields=["number", "prompt"], name="version_numbered")
        ),
        migrations.RunPython(make, drop),
    ]
