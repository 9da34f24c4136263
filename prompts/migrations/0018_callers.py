import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('prompts', '0017_search'),
    ]

    operations = [
        migrations.CreateModel(
            name='CallerDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField(verbose_name='day')),
                ('caller', models.PositiveBigIntegerField(default=0, verbose_name='API key')),
                ('name', models.CharField(blank=True, max_length=100, verbose_name='blank')),
                ('seen', models.PositiveBigIntegerField(default=0)),
                ('calls', models.PositiveBigIntegerField(default=0, verbose_name='calls')),
                ('input_tokens', models.PositiveBigIntegerField(default=0)),
                ('output_tokens', models.PositiveBigIntegerField(default=0)),
                ('environment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='prompts.environment', verbose_name='environment')),
                ('prompt', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='prompts.prompt', verbose_name='prompt')),
            ],
            options={
                'verbose_name': 'calls of a day',
                'verbose_name_plural': 'calls of a day',
                'ordering': ['-day'],
                'indexes': [models.Index(fields=['day'], name='caller_day')],
                'constraints': [models.UniqueConstraint(fields=('prompt', 'environment', 'day', 'caller', 'name'), name='caller_once_per_day')],
            },
        ),
    ]
