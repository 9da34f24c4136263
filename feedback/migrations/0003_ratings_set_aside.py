import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('feedback', '0002_taken_back_and_changed'),
    ]

    operations = [
        migrations.CreateModel(
            name='DeadLetter',
            fields=[
                ('feedback', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='dead_letter', serialize=False, to='feedback.feedback')),
                ('reason', models.CharField(max_length=100, verbose_name='what went wrong')),
                ('tries', models.PositiveIntegerField(default=1, verbose_name='tries')),
                ('at', models.DateTimeField(auto_now=True, verbose_name='last tried')),
            ],
            options={
                'verbose_name': 'rating set aside',
                'verbose_name_plural': 'ratings set aside',
                'ordering': ['feedback_id'],
            },
        ),
    ]
