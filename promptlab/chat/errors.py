"""What the gateway refuses."""

from __future__ import annotations

from promptlab.lib.errors import Invalid, NotFound, RateLimited, Unavailable


class ConversationNotFound(NotFound):
    code = "conversation_not_found"
    detail = "There is no conversation {conversation}."


class MessageNotFound(NotFound):
    code = "message_not_found"
    detail = "There is no message {message}."


class MissingVariables(Invalid):
    code = "missing_variable"
    detail = "The prompt {prompt} needs: {names}."


class TooManyStreams(RateLimited):
    code = "too_many_streams"
    detail = "This key has {limit} answers under way. Wait until one of them ends."


class StreamsFull(Unavailable):
    code = "streams_full"
    detail = "As many answers are under way here as there is room for. Try again shortly."
