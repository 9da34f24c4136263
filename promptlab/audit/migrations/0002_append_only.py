"""The activity log only grows, says the database as well."""

from django.db import migrations

from promptlab.lib.frozen import Freeze

ENTRY = (
    "id", "at", "team_id", "actor_kind", "actor_id", "actor_label", "verb", "target_type", "target_id",
    "target_label", "before", "after", "note", "request_id", "address",
)  # fmt: skip


class Migration(migrations.Migration):

    dependencies = [("audit", "0001_initial")]

    operations = [Freeze("audit_auditentry", ENTRY)]
