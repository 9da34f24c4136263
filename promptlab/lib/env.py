"""Reading the environment. Only `settings.py` calls these; nothing else reads `os.environ`."""

from __future__ import annotations

import math
import os
from pathlib import Path

from promptlab.lib import mailserver


class BadSetting(Exception):
    """A variable has a value that cannot be read. `name` and `hint` become a `manage.py check` error."""

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(f"{name}: {hint}")
        self.name = name
        self.hint = hint


problems: list[BadSetting] = []
"""What could not be read so far; `promptlab.checks` reports it, so that one start shows every mistake."""


OURS = frozenset(
    f"{name}{end}"
    for name in (
        "SECRET_KEY",
        "API_KEY_PEPPER",
        "SIGNING_KEYS",
        "BUNDLE_KEY",
        "ENCRYPTION_KEYS",
        "DATABASE_URL",
        "REDIS_URL",
        "CELERY_BROKER_URL",
        "EMAIL_URL",
        "LLM_KEY_VARIABLES",
        "LLM_KEY_HOSTS",
    )
    for end in ("", "_FILE")
)
"""Variables that nobody may use as the key of something else."""
LEAST_PREFIX = 4


def env_str(name: str, default: str = "") -> str:
    """Return the variable, stripped; `default` when unset or empty."""
    return os.environ.get(name, "").strip() or default


def env_int(name: str, default: int, *, minimum: int | None = None) -> int:
    """Return the variable as an integer; a bad value is noted and `default` used."""
    raw = env_str(name)
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        problems.append(BadSetting(name, f"{raw!r} is not a whole number."))
        return default
    if minimum is not None and value < minimum:
        problems.append(BadSetting(name, f"{value} is below the least allowed value, {minimum}."))
        return default
    return value


def env_float(name: str, default: float, *, minimum: float = 0.0) -> float:
    """Return the variable as a number; a bad value is noted and `default` used."""
    raw = env_str(name)
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        problems.append(BadSetting(name, f"{raw!r} is not a number."))
        return default
    if value < minimum:
        problems.append(BadSetting(name, f"{value} is below the least allowed value, {minimum}."))
        return default
    return value


def env_bool(name: str, default: bool = False) -> bool:
    """Return the variable as a truth value: 1/0, true/false, yes/no, on/off."""
    raw = env_str(name).lower()
    if not raw:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw not in {"0", "false", "no", "off"}:
        problems.append(BadSetting(name, f"{raw!r} is neither true nor false; use 1 or 0."))
        return default
    return False


def env_list(name: str, default: str = "") -> list[str]:
    """Return the comma-separated variable as a list without blanks."""
    return [part.strip() for part in env_str(name, default).split(",") if part.strip()]


def env_allowed(name: str, default: str) -> dict[str, str]:
    """Return the variables that others may use by name: those that the list allows, without the ones of our settings.

    An entry is a name, or the beginning of names and a `*`; one that begins with `*` is noted and allows nothing.
    """
    found: dict[str, str] = {}
    for pattern in env_list(name, default):
        start, star, rest = pattern.partition("*")
        if rest or len(start) < LEAST_PREFIX:
            problems.append(BadSetting(name, f"{pattern!r} is neither a name nor {LEAST_PREFIX} letters and a *."))
            continue
        allowed = (one for one in os.environ if one == start or (star and one.startswith(start)))
        found |= {one: os.environ[one].strip() for one in allowed if one not in OURS}
    return found


def env_secret(name: str) -> str:
    """Return a secret: the variable, or the content of the file that `NAME_FILE` names; empty when neither is set."""
    value = env_str(name)
    path = env_str(f"{name}_FILE")
    if value or not path:
        return value
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        problems.append(BadSetting(f"{name}_FILE", f"cannot be read ({error.strerror})."))
    except UnicodeDecodeError:
        problems.append(BadSetting(f"{name}_FILE", "cannot be read (it is not UTF-8 text)."))
    return ""


def env_url(name: str, default: str, *, schemes: tuple[str, ...]) -> str:
    """Return an address whose scheme is one of `schemes`; another one is noted and `default` used."""
    raw = env_str(name)
    if not raw:
        return default
    if raw.split(":", 1)[0].lower() not in schemes:
        problems.append(BadSetting(name, f"starts with none of: {', '.join(s + '://' for s in schemes)}."))
        return default
    return raw


def env_mail(name: str) -> mailserver.MailServer:
    """Return the mail server that a secret address names; one that prints when unset. A bad address is noted."""
    raw = env_secret(name)
    try:
        return mailserver.parse(raw or mailserver.CONSOLE)
    except ValueError as error:
        problems.append(BadSetting(name, str(error)))
        return mailserver.MailServer()
