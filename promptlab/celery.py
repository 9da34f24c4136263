"""Celery: a wake-up and a clock. What must not be lost is in the database; the beat table sweeps it."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task

from promptlab.lib import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptlab.settings")


class LoggedTask(Task):
    """A task whose log lines carry the id of the request that asked for it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        logs.begin(str(self.request.get("request_id") or self.request.id or ""))
        logs.bind(task=self.name)
        return super().__call__(*args, **kwargs)


app = Celery("promptlab", task_cls=LoggedTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
