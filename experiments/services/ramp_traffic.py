"""Whether anybody uses the prompt of a gradual launch: when its sums last grew."""

from __future__ import annotations

from datetime import datetime

from experiments.models import Ramp
from experiments.services.ramp_rules import Facts, Json


def requests_of(*variants: Json) -> int:
    """Return how often both texts were asked for."""
    return sum(one["sums"]["unit_requests"] for one in variants)


def note_traffic(ramp: Ramp, facts: Facts, now: datetime) -> None:
    """Remember that there was traffic, unless the ramp moved on."""
    requests = requests_of(facts.control, facts.treatment)
    if requests > ramp.requests_seen:
        same = Ramp.objects.filter(pk=ramp.pk, stage_version=ramp.stage_version, requests_seen__lt=requests)
        same.update(requests_seen=requests, traffic_at=now)
