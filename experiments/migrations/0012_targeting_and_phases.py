
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_idempotent_calls'),
        ('experiments', '0011_formats_and_waits'),
    ]

    operations = [
        migrations.AddField(
            model_name='experiment',
            name='bucket_phase',
            field=models.PositiveIntegerField(default=1, editable=False),
        ),
        migrations.AddField(
            model_name='experiment',
            name='bucket_version',
            field=models.PositiveIntegerField(default=1, editable=False),
        ),
        migrations.AddField(
            model_name='experiment',
            name='concluded_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='concluded'),
        ),
        migrations.AddField(
            model_name='experiment',
            name='condition',
            field=models.JSONField(blank=True, default=dict, verbose_name='whom it is for'),
        ),
        migrations.AddField(
            model_name='experiment',
            name='guardrails',
            field=models.JSONField(blank=True, default=list, verbose_name='what must not get worse'),
        ),
        migrations.AddField(
            model_name='experiment',
            name='is_sticky',
            field=models.BooleanField(default=False, verbose_name='units keep what they had'),
        ),
        migrations.AddField(
            model_name='experiment',
            name='kept_variant',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='experiments.variant', verbose_name='text that stays'),
        ),
        migrations.AddField(
            model_name='experiment',
            name='lesson',
            field=models.TextField(blank=True, editable=False, verbose_name='what we learned'),
        ),
        migrations.AddField(
            model_name='experiment',
            name='namespace_ranges',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='experiment',
            name='outcome',
            field=models.CharField(blank=True, choices=[('won', 'Another text is better'), ('lost', 'The current text is better'), ('no_difference', 'No difference'), ('unfinished', 'It did not finish')], editable=False, max_length=15, verbose_name='outcome'),
        ),
        migrations.AddField(
            model_name='experiment',
            name='overrides',
            field=models.JSONField(blank=True, default=dict, verbose_name='units that try it out'),
        ),
        migrations.AddField(
            model_name='experiment',
            name='planned_size',
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name='ratings to decide at'),
        ),
        migrations.AddField(
            model_name='experiment',
            name='primary_metric',
            field=models.CharField(choices=[('approval', 'Thumbs-up rate'), ('success', 'Answers without an error'), ('latency', 'Wait'), ('format', 'Answers in the right format'), ('cost', 'Cost')], default='approval', max_length=10, verbose_name='what decides'),
        ),
        migrations.AddField(
            model_name='variant',
            name='model',
            field=models.CharField(blank=True, max_length=100, verbose_name='model'),
        ),
        migrations.AddField(
            model_name='variant',
            name='owned',
            field=models.JSONField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='variant',
            name='parameters',
            field=models.JSONField(blank=True, default=dict, verbose_name='model settings'),
        ),
        migrations.CreateModel(
            name='Namespace',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=100, verbose_name='key')),
                ('seed', models.CharField(editable=False, max_length=32)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.team')),
            ],
            options={
                'verbose_name': 'namespace',
                'verbose_name_plural': 'namespaces',
            },
        ),
        migrations.AddField(
            model_name='experiment',
            name='namespace',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='experiments.namespace', verbose_name='namespace'),
        ),
        migrations.CreateModel(
            name='Phase',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('started', 'Started'), ('shares', 'Other shares'), ('dealt_anew', 'All users dealt anew')], max_length=10)),
                ('seed', models.CharField(max_length=32)),
                ('bucket_version', models.PositiveIntegerField()),
                ('shares', models.JSONField()),
                ('moved_slots', models.PositiveIntegerField(default=0)),
                ('began_at', models.DateTimeField(auto_now_add=True)),
                ('experiment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='phases', to='experiments.experiment')),
            ],
            options={
                'verbose_name': 'phase',
                'verbose_name_plural': 'phases',
                'ordering': ['number'],
            },
        ),
        migrations.AddConstraint(
            model_name='namespace',
            constraint=models.UniqueConstraint(fields=('team', 'key'), name='namespace_key_once_per_team'),
        ),
        migrations.AddConstraint(
            model_name='phase',
            constraint=models.UniqueConstraint(fields=('experiment', 'number'), name='phase_once'),
        ),
    ]
