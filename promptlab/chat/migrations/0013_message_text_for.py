from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0012_messages_by_month'),
    ]

    operations = [
        migrations.AddField(
            model_name='message',
            name='text_for',
            field=models.CharField(blank=True, default='', editable=False, max_length=100, verbose_name='text written for'),
        ),
    ]
