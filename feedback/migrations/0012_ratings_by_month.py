from django.db import migrations
from django.utils import timezone

from promptlab.lib.monthly import Monthly, begin, divide, drop_empty, make_ahead

MESSAGES = Monthly("chat_message")
RATINGS = Monthly("feedback_feedback", "message_id", ("id", "uid"), "chat_message")
ABOUT = ("feedbackchange", "feedbackreceipt", "deadletter", "care", "label", "note", "savedcase", "replayitem")


def by_month(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    now = timezone.now()
    make_ahead(MESSAGES, now)
    divide(RATINGS, now, free=[f"feedback_{name}" for name in ABOUT])
    begin(MESSAGES, now)
    for one in (RATINGS, MESSAGES):
        drop_empty(one)


class Migration(migrations.Migration):
    """Nothing is copied, and none of it locks for longer than a moment. It can be broken off and run again.

    Ratings lie in the same months as their answers. What hangs on a rating is tied to it by us alone from here on, as a
    rating's id is unique in each month. Going back leaves the table divided: what came before works with it as well.
    """

    atomic = False
    dependencies = [("feedback", "0011_replays"), ("chat", "0012_messages_by_month")]
    operations = [migrations.RunPython(by_month, migrations.RunPython.noop)]
