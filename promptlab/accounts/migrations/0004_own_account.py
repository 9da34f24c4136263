from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_language")]

    operations = [
        migrations.AddField(
            "user",
            "has_single_keys",
            models.BooleanField(default=True, editable=False, verbose_name="single keys do something"),
        ),
        migrations.AddField("user", "sign_outs", models.PositiveIntegerField(default=0, editable=False)),
    ]
