"""What is searched of each prompt, filled for those that are there."""

from __future__ import annotations

from itertools import islice
from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from prompts.services.indexing import BATCH, document_of, store


def add_index(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        statements = [
            "ALTER TABLE prompts_searchdocument ADD COLUMN vector tsvector",
            # Rows stay narrow, so that many can be counted quickly: what is long and rarely read is kept beside the table.
            *(f"ALTER TABLE prompts_searchdocument ALTER COLUMN {name} SET STORAGE MAIN" for name in ("title", "name", "description")),
            "ALTER TABLE prompts_searchdocument SET (toast_tuple_target = 256)",
        ]
    else:
        # The lexemes are made by us; this tokenizer splits at spaces and takes every letter beyond ASCII as it is.
        statements = [
            "CREATE VIRTUAL TABLE prompts_searchindex USING fts5(lexemes, tokenize='ascii', detail='none', columnsize=0, prefix='2 3')"
        ]
    for statement in statements:
        schema_editor.execute(statement, params=None)


def drop_index(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "postgresql":
        schema_editor.execute("DROP TABLE prompts_searchindex", params=None)


def fill(apps: Any, schema_editor: Any) -> None:
    Prompt, Deployment = apps.get_model("prompts", "Prompt"), apps.get_model("prompts", "Deployment")
    ids = iter(list(Prompt.objects.order_by("id").values_list("id", flat=True)))
    while batch := list(islice(ids, BATCH)):
        live: dict[int, list[Any]] = {}
        pointers = Deployment.objects.filter(prompt__in=batch, version__isnull=False).select_related("version")
        for pointer in pointers.order_by("id"):
            live.setdefault(pointer.prompt_id, []).append(pointer.version)
        rows = Prompt.objects.filter(id__in=batch).select_related("newest").order_by("id")
        store(schema_editor.connection, [document_of(row, [row.newest, *live.get(row.pk, ())]) for row in rows])


class Migration(migrations.Migration):

    dependencies = [("prompts", "0006_content_and_finding")]

    operations = [
        migrations.CreateModel(
            name="SearchDocument",
            fields=[
                ("prompt", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="search_document", serialize=False, to="prompts.prompt")),
                ("title", models.TextField(verbose_name="title")),
                ("name", models.TextField(verbose_name="short name")),
                ("description", models.TextField(verbose_name="what it is for")),
                ("words", models.TextField(verbose_name="words of all fields")),
            ],
            options={"verbose_name": "searched text", "verbose_name_plural": "searched texts"},
        ),
        migrations.RunPython(add_index, drop_index),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
