"""What is asked of a model for an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from promptlab import llm
from promptlab.chat.models import Message
from promptlab.chat.services.windowing import fitting_messages
from promptlab.chat.transcripts import upstream_request
from promptlab.llm.routes import masks_of, routes_for


def request_for(answer: Message, team_id: int, told: Sequence[Message] | None = None) -> llm.CompletionRequest:
    """Return the request for `answer`: as much of what was said as the model has room for, and the ways to the model.

    A fallback with a text of its own is sent that one. What leaves as tokens is noted with the answer, so that what was
    sent can be rebuilt. `told` is all that was said in a conversation that begins: its rows, and that of `answer`, are
    still to be written. Raises ContextTooLong, ModelOff, ProviderNotReady, and what `transcripts.upstream_messages` raises.
    """
    routes = routes_for(team_id, answer.asked_model or answer.model)
    texts = texts_of(answer, routes)
    others = {text for text in texts.values() if text != answer.text_for}
    messages = fitting_messages(answer, team_id, told, others)
    request = upstream_request(answer, team_id, messages[answer.text_for])
    told_others = {name: messages[text] for name, text in texts.items() if text != answer.text_for}
    request = replace(request, routes=routes, masks=masks_of(team_id), other_messages=told_others)
    if request.masks_in_force:
        answer.masks = request.masks_in_force.to_dict()
        if answer.pk is not None:
            answer.save(update_fields=["masks"])
    return request


def texts_of(answer: Message, routes: Sequence[llm.Route]) -> Mapping[str, str]:
    """Return for every way's model whose text it is sent, by its name: its own or, empty, the version's."""
    own = answer.version.model_texts if answer.version is not None else {}
    return {route.name: route.name if route.name in own else "" for route in routes} if own else {}
