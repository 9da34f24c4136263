"""What can go wrong with a model call. No message ever holds a key or text that came from a provider."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import DomainError


class LLMError(DomainError):
    """Base of all. `is_retryable`: the same call may succeed later. `partial`: deltas had been given out before."""

    code = "upstream_error"
    status = 502
    detail = _("The model provider could not answer.")
    is_retryable = False

    def __init__(
        self,
        detail: str = "",
        *,
        code: str = "",
        retry_after_s: int | None = None,
        is_retryable: bool | None = None,
        partial: bool = False,
        **data: Any,
    ) -> None:
        super().__init__(detail, code=code, retry_after_s=retry_after_s, **data)
        self.partial = partial
        if is_retryable is not None:
            self.is_retryable = is_retryable


class ProviderUnavailable(LLMError):
    """The provider cannot be reached, broke off, answered 5xx, or failed so often that we ask it less for a while."""

    code = "upstream_unavailable"
    status = 503
    detail = _("The model provider is not available right now. Try again shortly.")
    is_retryable = True


class NoRouteLeft(ProviderUnavailable):
    """Every way to the model failed before its first token. `retry_after_s` is the longest useful wait they asked for."""

    detail = _("None of the {routes} providers of this model answers right now. Try again shortly.")


class ProviderTimeout(LLMError):
    """No first token, no next token or no end within the time allowed."""

    code = "upstream_timeout"
    status = 504
    detail = _("The model provider took too long. Try again, or allow more time.")
    is_retryable = True


class ProviderRateLimited(LLMError):
    """The provider's limit for our key is reached. `retry_after_s` is what it asked for, if it said."""

    code = "upstream_rate_limited"
    status = 429
    detail = _("The model provider limits our requests right now. Wait and try again.")
    is_retryable = True


class ProviderRefusedKey(LLMError):
    """The provider does not accept our key. Never a 401: the caller's own key is fine."""

    code = "upstream_auth_error"
    detail = _("The model provider refused our key. An administrator has to check OPENAI_API_KEY.")


class BadRequest(LLMError):
    """The provider, or this gateway before it, will not take the request as it is."""

    code = "upstream_bad_request"
    status = 400
    detail = _("The model does not accept this request. Check the messages and the model settings.")


class ContextTooLong(BadRequest):
    """Prompt and answer do not fit into the model's context window."""

    code = "context_length_exceeded"
    detail = _("The messages are too long for this model. Shorten them or choose a model with a larger context.")


class UnknownModel(LLMError):
    """Nobody here offers a model of that name."""

    code = "model_not_found"
    status = 400
    detail = _("There is no model {model!r}. Choose one of those that are offered.")

    def __init__(self, model: str) -> None:
        super().__init__(model=model[:100])


class Misconfigured(LLMError):
    """The model exists, but this installation cannot call it; `setting` names what to set."""

    code = "llm_misconfigured"
    status = 503
    detail = _("This model cannot be called: check the setting {setting}.")

    def __init__(self, detail: str = "", *, setting: str) -> None:
        super().__init__(detail, setting=setting)


class MalformedAnswer(LLMError):
    """The provider answered with something that is not a complete, readable answer."""

    code = "upstream_malformed"
    detail = _("The model provider sent an incomplete or unreadable answer. Try again.")
    is_retryable = True
