"""`manage.py check`: wrong and unsafe settings, each with a hint."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from promptlab.lib import env


def stop_if_unreadable() -> None:
    """Raise ImproperlyConfigured when a variable means nothing: a server must not start with a default in its place."""
    if env.problems:
        raise ImproperlyConfigured(" ".join(str(problem) for problem in env.problems))


@register(Tags.security)
def settings_can_be_read(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001: a variable has a value that means nothing."""
    return [
        Error(
            str(problem),
            hint=f"Correct or remove {problem.name}; docs/operations.md says what it may be.",
            id="promptlab.E001",
        )
        for problem in env.problems
    ]


@register(Tags.security)
def secrets_are_shared(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E002: several hosts on one database must share SECRET_KEY; a local one would make every key invalid elsewhere."""
    if settings.DATABASE_URL.startswith("postgres") and settings.SECRET_KEY_IS_LOCAL and not settings.UNDER_TEST:
        hint = "Set SECRET_KEY (or SECRET_KEY_FILE) to 50 random characters, the same for every process."
        return [Error("SECRET_KEY is not set, but the database is shared.", hint=hint, id="promptlab.E002")]
    return []


@register(Tags.security)
def encryption_keys_are_long(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W006: a key of few characters can be found by trying."""
    if any(len(key) < 32 for key in settings.ENCRYPTION_KEYS):
        hint = "Give each key 50 random characters, without a comma."
        return [
            checks.Warning("ENCRYPTION_KEYS holds a key of less than 32 characters.", hint=hint, id="promptlab.W006")
        ]
    return []


@register(Tags.security)
def no_debug_in_production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E003: DEBUG shows settings and texts to everybody."""
    if settings.DEBUG and settings.DATABASE_URL.startswith("postgres"):
        return [Error("DEBUG is on with a shared database.", hint="Unset DEBUG.", id="promptlab.E003")]
    return []


@register(Tags.security)
def hosts_are_named(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W001: any Host header is believed."""
    if "*" in settings.ALLOWED_HOSTS:
        hint = "Set ALLOWED_HOSTS to the names people use, separated by commas."
        return [checks.Warning("ALLOWED_HOSTS allows every host.", hint=hint, id="promptlab.W001")]
    return []


@register(Tags.caches)
def redis_is_shared(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W002: a shared database with a Redis of this machine alone."""
    if settings.DATABASE_URL.startswith("postgres") and settings.REDIS_IS_PRIVATE and not settings.UNDER_TEST:
        hint = "Set REDIS_URL, so that all processes count together and wake the same workers."
        return [checks.Warning("REDIS_URL is not set, but the database is shared.", hint=hint, id="promptlab.W002")]
    return []


@register()
def models_can_be_called(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W003: a default model that needs a key nobody gave."""
    needs_key = not settings.LLM_DEFAULT_MODEL.startswith("echo")
    if needs_key and not settings.OPENAI_API_KEY and not settings.OPENAI_BASE_URL:
        hint = "Set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own, or leave LLM_DEFAULT_MODEL at echo."
        message = f"LLM_DEFAULT_MODEL is {settings.LLM_DEFAULT_MODEL}, but no provider is configured."
        return [checks.Warning(message, hint=hint, id="promptlab.W003")]
    return []


@register(Tags.security)
def mails_lead_here(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W004: mails go out, but their links lead to the reader's own machine."""
    if settings.MAIL_SERVER.host and settings.SITE_URL_IS_LOCAL:
        hint = "Set SITE_URL to the address people open, such as https://prompts.example.com."
        return [checks.Warning("EMAIL_URL is set, but SITE_URL is not.", hint=hint, id="promptlab.W004")]
    return []


@register(Tags.security)
def mail_password_is_hidden(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W005: the mail server's password goes over the network for everybody to read."""
    if settings.MAIL_SERVER.is_open:
        hint = "Begin EMAIL_URL with smtp+tls:// or smtps://."
        return [checks.Warning("EMAIL_URL sends its password in clear.", hint=hint, id="promptlab.W005")]
    return []


@register(Tags.database)
def parts_of_titles_are_indexed(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """W006: PostgreSQL without pg_trgm reads every title for a part of one that has signs in it. Asked by `migrate`."""
    if not databases or connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('search_by_word') IS NOT NULL AND to_regclass('search_by_part') IS NULL")
        is_missing = cursor.fetchone() == (True,)
    if not is_missing:
        return []
    hint = "CREATE EXTENSION pg_trgm as somebody who may, then `manage.py reindex_prompts`. Search works without it, slower."
    return [checks.Warning("PostgreSQL has no index of parts of titles.", hint=hint, id="promptlab.W006")]
