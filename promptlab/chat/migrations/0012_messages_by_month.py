from django.db import migrations
from django.utils import timezone

from promptlab.lib.monthly import Monthly, divide

NAMES, MESSAGES = "chat_messagekey", "chat_message"
BATCH = 10_000
KEPT = (
    f"CREATE TABLE IF NOT EXISTS {NAMES} (uid uuid PRIMARY KEY, message_id bigint NOT NULL)",
    f"""CREATE OR REPLACE FUNCTION {NAMES}_kept() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' THEN
                DELETE FROM {NAMES} WHERE uid = OLD.uid;
                RETURN OLD;
            END IF;
            INSERT INTO {NAMES} (uid, message_id) VALUES (NEW.uid, NEW.id) ON CONFLICT DO NOTHING;
            IF FOUND THEN
                RETURN NEW;
            END IF;
            RETURN NULL;
        END $$""",
    f"DROP TRIGGER IF EXISTS {NAMES}_new ON {MESSAGES}",
    f"DROP TRIGGER IF EXISTS {NAMES}_gone ON {MESSAGES}",
    f"CREATE TRIGGER {NAMES}_new BEFORE INSERT ON {MESSAGES} FOR EACH ROW EXECUTE FUNCTION {NAMES}_kept()",
    f"CREATE TRIGGER {NAMES}_gone AFTER DELETE ON {MESSAGES} FOR EACH ROW EXECUTE FUNCTION {NAMES}_kept()",
)
THERE = f"""
    WITH few AS (SELECT uid, id FROM {MESSAGES} WHERE id > %s ORDER BY id LIMIT {BATCH}),
    named AS (INSERT INTO {NAMES} (uid, message_id) SELECT uid, id FROM few ON CONFLICT DO NOTHING)
    SELECT max(id) FROM few"""


def name_messages(apps, schema_editor):
    """Keep the id of every uid in a table of its own: over the months, PostgreSQL could not hold a uid to be the only one.

    A message whose uid is taken is not written: what `ignore_conflicts` asks for, and nobody else meets it.
    """
    if schema_editor.connection.vendor != "postgresql":
        return
    for statement in KEPT:
        schema_editor.execute(statement, params=None)
    last = 0
    with schema_editor.connection.cursor() as cursor:
        while last is not None:
            cursor.execute(THERE, [last])
            last = cursor.fetchone()[0]


def by_month(apps, schema_editor):
    divide(Monthly(MESSAGES), timezone.now(), followed_by=["feedback_feedback"])


class Migration(migrations.Migration):
    """Nothing is copied, and none of it locks for longer than a moment. It can be broken off and run again.

    The first month begins when ratings are divided as well: their migration sees to it.
    Going back leaves the table divided: what came before works with it as well.
    """

    atomic = False
    dependencies = [("chat", "0011_dealt_unit")]
    operations = [
        migrations.RunPython(name_messages, migrations.RunPython.noop),
        migrations.RunPython(by_month, migrations.RunPython.noop),
    ]
