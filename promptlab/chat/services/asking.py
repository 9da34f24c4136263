"""What is asked of a model for an answer whose row stands."""

from __future__ import annotations

from promptlab import llm
from promptlab.chat.models import Message
from promptlab.chat.services.windowing import fitting_messages
from promptlab.chat.transcripts import upstream_request


def request_for(answer: Message, team_id: int) -> llm.CompletionRequest:
    """Return the request for `answer`: as much of what was said as the model has room for.

    Raises ContextTooLong, and what `transcripts.upstream_messages` raises.
    """
    return upstream_request(answer, team_id, fitting_messages(answer))
