import django.db.models.deletion
from django.db import migrations, models


NAME = "feedback_keeps_what_was_said"
TABLE, CHANGES = "feedback_feedback", "feedback_feedbackchange"
INSERT = f"INSERT INTO {CHANGES} (feedback_id, value, comment, said_at) VALUES (OLD.id, OLD.value, OLD.comment, OLD.updated_at)"
POSTGRESQL = (
    f"CREATE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {INSERT}; RETURN NULL; END $$",
    f"CREATE TRIGGER {NAME} AFTER UPDATE OF value, comment ON {TABLE} FOR EACH ROW"
    f" WHEN (OLD.value IS DISTINCT FROM NEW.value OR OLD.comment <> NEW.comment) EXECUTE FUNCTION {NAME}()",
)
SQLITE = (
    f"CREATE TRIGGER {NAME} AFTER UPDATE OF value, comment ON {TABLE} FOR EACH ROW"
    f" WHEN OLD.value IS NOT NEW.value OR OLD.comment <> NEW.comment BEGIN {INSERT}; END",
)


def keep_what_was_said(apps, schema_editor):
    """On SQLite a later migration that rebuilds the table loses the trigger: it has to call this again, at its end."""
    for statement in POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def keep_no_more(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP TRIGGER {NAME} ON {TABLE}")
        schema_editor.execute(f"DROP FUNCTION {NAME}()")
    else:
        schema_editor.execute(f"DROP TRIGGER {NAME}")


class Migration(migrations.Migration):

    dependencies = [
        ('feedback', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='feedback',
            name='value',
            field=models.SmallIntegerField(null=True, verbose_name='rating'),
        ),
        migrations.CreateModel(
            name='FeedbackChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('value', models.SmallIntegerField(null=True, verbose_name='rating')),
                ('comment', models.TextField(blank=True, verbose_name='comment')),
                ('said_at', models.DateTimeField(verbose_name='said')),
                ('feedback', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='changes', to='feedback.feedback')),
            ],
            options={
                'verbose_name': 'changed rating',
                'verbose_name_plural': 'changed ratings',
                'ordering': ['id'],
            },
        ),
        migrations.RunPython(keep_what_was_said, keep_no_more),
    ]
