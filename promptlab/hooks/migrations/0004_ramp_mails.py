from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('hooks', '0003_sealed_secrets'),
    ]

    operations = [
        migrations.AlterField(
            model_name='mail',
            name='kind',
            field=models.CharField(choices=[('mention', 'Somebody mentions me in a comment'), ('comment_on_mine', 'Somebody comments on what I wrote or own'), ('review_requested', 'Somebody asks for a review that I may give'), ('review_decided', 'Somebody decides on a review of mine'), ('went_live', 'What is live of mine changes in a protected environment'), ('plan_failed', 'A deployment that I planned was not carried out'), ('experiment_ended', 'An experiment of mine ends'), ('ramp_moved', 'A gradual launch of mine takes a step, or waits for somebody'), ('webhook_off', 'A webhook of a team that I administer is switched off, because it fails')], max_length=20, verbose_name='kind'),
        ),
        migrations.AlterField(
            model_name='mailoff',
            name='kind',
            field=models.CharField(choices=[('mention', 'Somebody mentions me in a comment'), ('comment_on_mine', 'Somebody comments on what I wrote or own'), ('review_requested', 'Somebody asks for a review that I may give'), ('review_decided', 'Somebody decides on a review of mine'), ('went_live', 'What is live of mine changes in a protected environment'), ('plan_failed', 'A deployment that I planned was not carried out'), ('experiment_ended', 'An experiment of mine ends'), ('ramp_moved', 'A gradual launch of mine takes a step, or waits for somebody'), ('webhook_off', 'A webhook of a team that I administer is switched off, because it fails')], max_length=20),
        ),
    ]
