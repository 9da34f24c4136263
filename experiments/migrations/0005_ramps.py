import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('experiments', '0004_analysis_snapshot'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Ramp',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('running', 'Running'), ('held', 'Waits for a person'), ('rolled_back', 'Everyone was sent back'), ('completed', 'Live for everyone'), ('aborted', 'Broken off')], default='running', max_length=12, verbose_name='state')),
                ('stages', models.JSONField(verbose_name='steps')),
                ('stage_index', models.PositiveSmallIntegerField(default=0, verbose_name='step')),
                ('stage_version', models.PositiveIntegerField(default=1)),
                ('entered_at', models.DateTimeField(verbose_name='in this step since')),
                ('hold_reason', models.CharField(blank=True, choices=[('by_hand', 'Somebody stopped it here'), ('split', 'Traffic is not split as it should be'), ('multiple', 'Too many users met both texts'), ('rating_rate', 'The two texts are not rated equally often'), ('no_traffic', 'Nobody uses the prompt'), ('inconclusive', 'The time is over and the numbers do not decide'), ('refused', 'The environment does not let it go on')], max_length=20, verbose_name='why it waits')),
                ('accepted', models.CharField(blank=True, max_length=200)),
                ('requests_seen', models.BigIntegerField(default=0)),
                ('traffic_at', models.DateTimeField()),
                ('starter_label', models.CharField(max_length=200, verbose_name='who started it')),
                ('started_at', models.DateTimeField(verbose_name='started')),
                ('ended_at', models.DateTimeField(null=True, verbose_name='ended')),
                ('experiment', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='experiments.experiment', verbose_name='experiment')),
                ('started_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='who started it')),
            ],
            options={
                'verbose_name': 'gradual launch',
                'verbose_name_plural': 'gradual launches',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='RampDecision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stage_version', models.PositiveIntegerField()),
                ('stage_index', models.PositiveSmallIntegerField()),
                ('share_bp', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('started', 'Started'), ('advanced', 'Next step'), ('held', 'Waits for a person'), ('resumed', 'Went on'), ('rolled_back', 'Everyone was sent back'), ('completed', 'Live for everyone'), ('aborted', 'Broken off')], max_length=12, verbose_name='what')),
                ('rule', models.CharField(max_length=40, verbose_name='rule')),
                ('numbers', models.JSONField(default=dict)),
                ('revision', models.PositiveBigIntegerField(null=True, verbose_name='revision')),
                ('note', models.CharField(blank=True, max_length=500, verbose_name='why')),
                ('actor_label', models.CharField(max_length=200, verbose_name='who')),
                ('code_version', models.CharField(max_length=40)),
                ('at', models.DateTimeField(verbose_name='when')),
                ('ramp', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='experiments.ramp')),
            ],
            options={
                'verbose_name': 'decision',
                'verbose_name_plural': 'decisions',
                'ordering': ['id'],
            },
        ),
        migrations.AddIndex(
            model_name='ramp',
            index=models.Index(fields=['state'], name='ramp_by_state'),
        ),
        migrations.AddConstraint(
            model_name='rampdecision',
            constraint=models.UniqueConstraint(fields=('ramp', 'stage_version'), name='ramp_decides_once'),
        ),
    ]
