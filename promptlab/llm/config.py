"""The settings of the gateway. The only place of this package that knows Django's settings exist."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Config:
    """One consistent reading of the settings. Times in seconds."""

    default_model: str
    models: tuple[str, ...]
    openai_api_key: str = field(repr=False)
    openai_base_url: str
    allow_real_calls: bool
    deadline_s: float
    first_token_timeout_s: float
    idle_timeout_s: float
    connect_timeout_s: float
    drains: int
    forward_traceparent: bool


def current() -> Config:
    """Return the settings as they are now; read anew for every call, so that tests may override them."""
    return Config(
        default_model=settings.LLM_DEFAULT_MODEL,
        models=tuple(settings.LLM_MODELS),
        openai_api_key=settings.OPENAI_API_KEY,
        openai_base_url=settings.OPENAI_BASE_URL,
        allow_real_calls=settings.LLM_ALLOW_REAL_CALLS,
        deadline_s=settings.LLM_DEADLINE_S,
        first_token_timeout_s=settings.LLM_FIRST_TOKEN_TIMEOUT_S,
        idle_timeout_s=settings.LLM_IDLE_TIMEOUT_S,
        connect_timeout_s=settings.LLM_CONNECT_TIMEOUT_S,
        drains=settings.LLM_DRAINS,
        forward_traceparent=settings.LLM_FORWARD_TRACEPARENT,
    )
