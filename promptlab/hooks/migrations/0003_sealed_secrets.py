"""Webhooks' secrets are stored sealed: those that stand in the clear are sealed, and opened again on the way back."""

from collections.abc import Callable
from typing import Any

from django.db import migrations, models

from promptlab.lib.sealing import seal, unseal

COLUMNS = ("sealed_secret", "old_sealed_secret")


def _each(change: Callable[[str], str]) -> Callable[[Any, Any], None]:
    def run(apps: Any, schema_editor: Any) -> None:
        rows = apps.get_model("hooks", "Endpoint").objects.using(schema_editor.connection.alias)
        for row in rows.only("pk", *COLUMNS).order_by("pk").iterator():
            changed = {name: change(getattr(row, name)) for name in COLUMNS if getattr(row, name)}
            rows.filter(pk=row.pk).update(**changed)

    return run


class Migration(migrations.Migration):
    dependencies = [("hooks", "0002_mail")]

    operations = [
        migrations.RenameField("endpoint", "secret", "sealed_secret"),
        migrations.RenameField("endpoint", "old_secret", "old_sealed_secret"),
        migrations.AlterField("endpoint", "sealed_secret", models.CharField(editable=False, max_length=300)),
        migrations.AlterField(
            "endpoint", "old_sealed_secret", models.CharField(blank=True, editable=False, max_length=300)
        ),
        migrations.RunPython(_each(seal), _each(unseal)),
    ]
