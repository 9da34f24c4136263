"""What is said all at once in a description ranks before what only the text says: found by an index as well."""

from __future__ import annotations

from typing import Any

from django.db import migrations

from prompts.services import indexing


def make(apps: Any, schema_editor: Any) -> None:
    indexing.make_indexes(schema_editor.connection)


class Migration(migrations.Migration):

    dependencies = [("prompts", "0011_standing")]

    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
