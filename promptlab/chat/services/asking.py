"""What is asked of a model for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from promptlab import llm
from promptlab.chat.models import Message
from promptlab.chat.services.windowing import fitting_messages
from promptlab.chat.transcripts import upstream_request
from promptlab.llm.routes import masks_of, routes_for


def request_for(answer: Message, team_id: int, told: Sequence[Message] | None = None) -> llm.CompletionRequest:
    """Return the request for `answer`: as much of what was said as the model has room for, and the ways to the model.

    What leaves as tokens is noted with the answer, so that what was sent can be rebuilt. `told` is all that was said in a
    conversation that begins: its rows, and that of `answer`, are still to be written.
    Raises ContextTooLong, ModelOff, ProviderNotReady, and what `transcripts.upstream_messages` raises.
    """
    request = upstream_request(answer, team_id, fitting_messages(answer, team_id, told))
    request = replace(request, routes=routes_for(team_id, request.model), masks=masks_of(team_id))
    if request.masks_in_force:
        answer.masks = request.masks_in_force.to_dict()
        if answer.pk is not None:
            answer.save(update_fields=["masks"])
    return request
