"""`manage.py retry_ratings`: add the ratings that were set aside, now that what stopped them is mended."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from feedback.models import DeadLetter
from feedback.services.batch import roll_up_feedback, try_again


class Command(BaseCommand):
    """Safe to repeat: what cannot be added is set aside again."""

    help = "Add the ratings that could not be added to the sums before, and list what cannot be still."

    def handle(self, *args: Any, **options: Any) -> None:
        number = try_again()
        while roll_up_feedback():
            continue
        left = DeadLetter.objects.select_related("feedback")
        for one in left:
            self.stderr.write(f"{one.feedback.uid}: {one.reason}")
        self.stdout.write(f"Ratings tried again: {number}; set aside still: {len(left)}.")
