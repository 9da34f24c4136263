"""What one would write first: a Django view that looks the answer up and saves a row. No key, no checks, no limits."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

settings.ROOT_URLCONF = __name__
settings.MIDDLEWARE = []
application = get_asgi_application()

from feedback.models import Feedback  # noqa: E402
from promptlab.chat.models import Message  # noqa: E402


def rate(request: HttpRequest) -> HttpResponse:
    said: dict[str, Any] = json.loads(request.body)
    message = Message.objects.select_related("conversation").get(uid=said["message_id"])
    row, _ = Feedback.objects.update_or_create(
        message=message,
        rater=said["user"],
        metric="rating",
        defaults={"team_id": message.conversation.team_id, "value": said["rating"], "comment": said["comment"]},
    )
    return JsonResponse({"feedback_id": str(row.uid)}, status=202)


def ready(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ready")


urlpatterns = [path("feedback", rate), path("readyz", ready)]
