from importlib import import_module

import django.db.models.deletion
from django.db import migrations, models


NAME = "feedback_keeps_what_was_said"
TABLE, CHANGES = "feedback_feedback", "feedback_feedbackchange"
COLUMNS = "value, comment, score, text"
INSERT = (
    f"INSERT INTO {CHANGES} (feedback_id, {COLUMNS}, said_at)"
    " VALUES (OLD.id, OLD.value, OLD.comment, OLD.score, OLD.text, OLD.updated_at)"
)
FUNCTION = f"CREATE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {INSERT}; RETURN NULL; END $$"
TRIGGER = f"CREATE TRIGGER {NAME} AFTER UPDATE OF {COLUMNS} ON {TABLE} FOR EACH ROW"
CHANGED = "OLD.value IS DISTINCT FROM NEW.value OR OLD.score IS DISTINCT FROM NEW.score"
WORDS = "OLD.comment <> NEW.comment OR OLD.text <> NEW.text"
POSTGRESQL = (FUNCTION, f"{TRIGGER} WHEN ({CHANGED} OR {WORDS}) EXECUTE FUNCTION {NAME}()")
SQLITE = (f"{TRIGGER} WHEN {CHANGED.replace('IS DISTINCT FROM', 'IS NOT')} OR {WORDS} BEGIN {INSERT}; END",)


def keep_what_was_said(apps, schema_editor):
    """On SQLite a later migration that rebuilds the table loses the trigger: it has to call this again, at its end."""
    for statement in POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def keep_no_more(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP TRIGGER {NAME} ON {TABLE}")
        schema_editor.execute(f"DROP FUNCTION {NAME}()")
    else:
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {NAME}")


def keep_as_before(apps, schema_editor):
    import_module("feedback.migrations.0002_taken_back_and_changed").keep_what_was_said(apps, schema_editor)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_idempotent_calls'),
        ('feedback', '0003_ratings_set_aside'),
    ]

    operations = [
        migrations.RunPython(keep_no_more, keep_as_before),
        migrations.CreateModel(
            name='Metric',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=50, verbose_name='short name')),
                ('title', models.CharField(max_length=100, verbose_name='title')),
                ('kind', models.CharField(choices=[('thumbs', 'Thumbs up or down'), ('score', 'A number in a range'), ('boolean', 'Yes or no'), ('category', 'One of a list'), ('text', 'Words'), ('correction', 'The ideal answer')], max_length=10, verbose_name='what is said')),
                ('low', models.FloatField(null=True, verbose_name='lowest')),
                ('high', models.FloatField(null=True, verbose_name='highest')),
                ('is_higher_better', models.BooleanField(default=True, verbose_name='more is better')),
                ('categories', models.JSONField(default=list, verbose_name='list')),
                ('archived_at', models.DateTimeField(null=True, verbose_name='put away')),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.team', verbose_name='team')),
            ],
            options={
                'verbose_name': 'metric',
                'verbose_name_plural': 'metrics',
                'ordering': ['key'],
                'constraints': [models.UniqueConstraint(fields=('team', 'key'), name='metric_once_per_team')],
            },
        ),
        migrations.AddField(
            model_name='feedback',
            name='score',
            field=models.FloatField(null=True, verbose_name='score'),
        ),
        migrations.AddField(
            model_name='feedback',
            name='source',
            field=models.CharField(choices=[('end_user', 'End user'), ('api', 'Application'), ('annotator', 'Annotator'), ('judge', 'Judge')], db_default='end_user', default='end_user', max_length=10, verbose_name='source'),
        ),
        migrations.AddField(
            model_name='feedback',
            name='text',
            field=models.TextField(blank=True, db_default='', default='', verbose_name='words'),
        ),
        migrations.AddField(
            model_name='feedbackchange',
            name='score',
            field=models.FloatField(null=True, verbose_name='score'),
        ),
        migrations.AddField(
            model_name='feedbackchange',
            name='text',
            field=models.TextField(blank=True, db_default='', default='', verbose_name='words'),
        ),
        migrations.AddIndex(
            model_name='feedback',
            index=models.Index(condition=models.Q(('metric', 'rating'), _negated=True), fields=['team', 'metric'], name='feedback_of_metric'),
        ),
        migrations.RunPython(keep_what_was_said, keep_no_more),
    ]
