from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_idempotent_calls")]

    operations = [
        migrations.AddField(
            "user",
            "language",
            models.CharField(editable=False, max_length=10, null=True, verbose_name="language of mails"),
        ),
    ]
