"""What the gateway refuses."""

from __future__ import annotations

from promptlab.lib.errors import Invalid, NotFound


class ConversationNotFound(NotFound):
    code = "conversation_not_found"
    detail = "There is no conversation {conversation}."


class MessageNotFound(NotFound):
    code = "message_not_found"
    detail = "There is no message {message}."


class MissingVariables(Invalid):
    code = "missing_variable"
    detail = "The prompt {prompt} needs: {names}."
