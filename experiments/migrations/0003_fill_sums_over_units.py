from django.db import migrations
from django.db.models import Count, F, Q, Sum

SUMS = {
    "raters": Count("pk", filter=Q(ratings__gt=0)),
    "unit_ratings": Sum("ratings"),
    "unit_ups": Sum("ups"),
    "ratings_sq": Sum(F("ratings") * F("ratings")),
    "ups_sq": Sum(F("ups") * F("ups")),
    "ratings_ups": Sum(F("ratings") * F("ups")),
    "users": Count("pk", filter=Q(requests__gt=0)),
    "unit_requests": Sum("requests"),
    "unit_errors": Sum("errors"),
    "requests_sq": Sum(F("requests") * F("requests")),
    "errors_sq": Sum(F("errors") * F("errors")),
    "requests_errors": Sum(F("requests") * F("errors")),
    "requests_ratings": Sum(F("requests") * F("ratings")),
}
CELL = ("experiment_id", "phase", "variant_id")


def fill(apps, schema_editor):
    """Book in the newest hour of each variant what its units add up to and its hours do not hold yet.

    Waits and cost of single requests were not kept per unit: their sums over units begin now.
    """
    units = apps.get_model("experiments", "ExperimentUnit").objects
    hours = apps.get_model("experiments", "HourRollup").objects
    totals = {f"all_{name}": total for name, total in SUMS.items()}
    wanted = {
        tuple(row[name] for name in CELL): row
        for row in units.filter(is_multiple=False).values(*CELL).order_by().annotate(**totals)
    }
    held = {f"all_{name}": Sum(name) for name in SUMS}
    for row in hours.filter(variant__isnull=False).values(*CELL).order_by().annotate(**held):
        key = {name: row[name] for name in CELL}
        of_units = wanted.get(tuple(key.values()), {})
        missing = {name: int(of_units.get(f"all_{name}") or 0) - int(row[f"all_{name}"] or 0) for name in SUMS}
        newest = hours.filter(**key).order_by("-hour").values_list("pk", flat=True)[0]
        if any(missing.values()):
            hours.filter(pk=newest).update(**{name: F(name) + number for name, number in missing.items() if number})


class Migration(migrations.Migration):

    dependencies = [
        ("experiments", "0002_sums_over_units"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
