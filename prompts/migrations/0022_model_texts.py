from django.db import migrations, models

from promptlab.lib.frozen import Freeze

WAS = (
    "id", "prompt_id", "number", "version_string", "text", "messages", "model", "parameters", "variables", "message",
    "checksum", "author_label", "created_at", "syntax", "output_schema", "stop", "tools",
)  # fmt: skip
IS = (*WAS, "model_texts")
KEYS = [["id"], ["prompt_id", "number"]]


class Migration(migrations.Migration):

    dependencies = [
        ('prompts', '0021_both_tried'),
    ]

    operations = [
        # Going back on SQLite ends here: taking a column away rebuilt the table without its triggers.
        Freeze("prompts_version", WAS, erasable=["author_id"], keys=KEYS, before=WAS),
        migrations.AddField(
            model_name='version',
            name='model_texts',
            field=models.JSONField(blank=True, default=dict, verbose_name='texts for other models'),
        ),
        # Adding a column rebuilt the table on SQLite.
        Freeze("prompts_version", IS, erasable=["author_id"], keys=KEYS, before=WAS),
    ]
