import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('prompts', '0013_suites'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='OptimiserRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('queued', 'Waiting'), ('running', 'Running'), ('finished', 'Finished'), ('cancelled', 'Cancelled'), ('stopped', 'Stopped')], default='queued', max_length=10, verbose_name='state')),
                ('reason', models.CharField(blank=True, max_length=300, verbose_name='why it stopped')),
                ('max_calls', models.PositiveIntegerField(verbose_name='calls at most')),
                ('calls', models.PositiveIntegerField(default=0, verbose_name='calls')),
                ('budget_nanousd', models.BigIntegerField(verbose_name='budget')),
                ('reserved_nanousd', models.BigIntegerField(default=0)),
                ('spent_nanousd', models.BigIntegerField(default=0, verbose_name='spent')),
                ('unpriced_calls', models.PositiveIntegerField(default=0, verbose_name='calls without a price')),
                ('note', models.CharField(blank=True, max_length=300, verbose_name='why')),
                ('requested_label', models.CharField(max_length=200, verbose_name='who')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='asked for')),
                ('started_at', models.DateTimeField(blank=True, null=True, verbose_name='began')),
                ('ended_at', models.DateTimeField(blank=True, null=True, verbose_name='ended')),
                ('lease', models.CharField(blank=True, max_length=32)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('kind', models.CharField(choices=[('suggestion', 'Suggestion')], max_length=20, verbose_name='kind')),
                ('goal', models.CharField(blank=True, max_length=40, verbose_name='goal')),
                ('model', models.CharField(max_length=100, verbose_name='model')),
                ('plan', models.JSONField(blank=True, default=dict)),
                ('found', models.JSONField(blank=True, default=dict)),
                ('total', models.PositiveIntegerField(default=1, verbose_name='steps')),
                ('done', models.PositiveIntegerField(default=0, verbose_name='steps done')),
                ('requested_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='who')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='prompts.version', verbose_name='version')),
            ],
            options={
                'verbose_name': 'improvement',
                'verbose_name_plural': 'improvements',
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['version', '-id'], name='optimiser_run_of_version'), models.Index(fields=['state', 'lease_until'], name='optimiser_run_waiting')],
            },
        ),
        migrations.CreateModel(
            name='OptimiserCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(blank=True, max_length=100)),
                ('model', models.CharField(max_length=100, verbose_name='model')),
                ('state', models.CharField(choices=[('asked', 'Asked'), ('answered', 'Answered'), ('error', 'No answer'), ('lost', 'Lost'), ('cancelled', 'Cancelled')], default='asked', max_length=10, verbose_name='outcome')),
                ('text', models.TextField(blank=True, verbose_name='answer')),
                ('is_cut_off', models.BooleanField(default=False, verbose_name='cut off')),
                ('problem', models.CharField(blank=True, max_length=300, verbose_name='what went wrong')),
                ('latency_ms', models.PositiveIntegerField(blank=True, null=True, verbose_name='time')),
                ('input_tokens', models.PositiveIntegerField(blank=True, null=True)),
                ('output_tokens', models.PositiveIntegerField(blank=True, null=True)),
                ('cost_usd', models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True, verbose_name='cost')),
                ('reserved_nanousd', models.BigIntegerField(default=0)),
                ('asked_at', models.DateTimeField(auto_now_add=True, verbose_name='asked')),
                ('ended_at', models.DateTimeField(blank=True, null=True, verbose_name='ended')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='call_rows', to='prompts.optimiserrun', verbose_name='run')),
            ],
            options={
                'verbose_name': 'call',
                'verbose_name_plural': 'calls',
                'ordering': ['id'],
                'indexes': [models.Index(fields=['run', 'state'], name='optimiser_call_state')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('key', ''), _negated=True), fields=('run', 'key'), name='optimiser_call_once')],
            },
        ),
        migrations.CreateModel(
            name='Suggestion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('place', models.PositiveIntegerField(default=1)),
                ('model', models.CharField(max_length=100, verbose_name='model')),
                ('text', models.TextField(blank=True, verbose_name='text')),
                ('messages', models.JSONField(blank=True, default=list, verbose_name='messages')),
                ('changes', models.JSONField(blank=True, default=list, verbose_name='what it changed')),
                ('missing', models.JSONField(blank=True, default=list, verbose_name='placeholders that are missing')),
                ('invented', models.JSONField(blank=True, default=list, verbose_name='placeholders that are new')),
                ('problem', models.CharField(blank=True, max_length=300, verbose_name='what is wrong with it')),
                ('facts', models.JSONField(blank=True, default=dict)),
                ('state', models.CharField(choices=[('proposed', 'To decide'), ('rejected', 'Rejected'), ('identical', 'The same text'), ('accepted', 'Taken'), ('discarded', 'Discarded')], default='proposed', max_length=10, verbose_name='state')),
                ('edited_bp', models.PositiveIntegerField(blank=True, null=True, verbose_name='edited by hand')),
                ('decided_label', models.CharField(blank=True, max_length=200, verbose_name='who decided')),
                ('decided_at', models.DateTimeField(blank=True, null=True, verbose_name='decided')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='made')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='suggestions', to='prompts.optimiserrun', verbose_name='run')),
                ('saved_version', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='prompts.version', verbose_name='saved as')),
            ],
            options={
                'verbose_name': 'suggestion',
                'verbose_name_plural': 'suggestions',
                'ordering': ['run', 'place'],
                'constraints': [models.UniqueConstraint(fields=('run', 'place'), name='suggestion_once')],
            },
        ),
    ]
