from django.db import migrations

from promptlab.lib.frozen import Freeze

DECISION = ("id", "request_id", "reviewer_id", "reviewer_label", "decision", "comment", "checksum", "at")
"""All of it: who decided cannot even be removed as a person."""


class Migration(migrations.Migration):

    dependencies = [
        ('prompts', '0008_search_and_list_indexes'),
    ]

    operations = [
        # A person decides once in the same way on one request, so such a row is the same row.
        Freeze("prompts_reviewdecision", DECISION, keys=[["id"], ["request_id", "reviewer_id", "decision"]]),
    ]
