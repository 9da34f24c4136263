"""What is asked of a model for an answer whose row stands."""

from __future__ import annotations

from dataclasses import replace

from promptlab import llm
from promptlab.chat.models import Message
from promptlab.chat.services.windowing import fitting_messages
from promptlab.chat.transcripts import upstream_request
from promptlab.llm.routes import routes_for


def request_for(answer: Message, team_id: int) -> llm.CompletionRequest:
    """Return the request for `answer`: as much of what was said as the model has room for, and the ways to the model.

    Raises ContextTooLong, ModelOff, ProviderNotReady, and what `transcripts.upstream_messages` raises.
    """
    request = upstream_request(answer, team_id, fitting_messages(answer, team_id))
    return replace(request, routes=routes_for(team_id, request.model))
