"""JSON log lines: an event word and fields, never prose, message text or keys.

The request id lives in a context variable; every line of a request carries it, and tasks take it along.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from itertools import count
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

KEY = re.compile(r"\bpl_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{20,}")
SECRET_FIELDS = frozenset({"authorization", "x_api_key", "password", "secret", "key", "token"})
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank fields that are secrets by name and keys inside any text, at any depth."""
    for field, value in event.items():
        event[field] = _hidden(field, value)
    return event


def _hidden(field: object, value: Any) -> Any:
    if isinstance(field, str) and field.lower() in SECRET_FIELDS:
        return "***"
    if isinstance(value, str):
        return KEY.sub("pl_***", value) if "pl_" in value else value
    if isinstance(value, dict):
        return {name: _hidden(name, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden("", item) for item in value]
    return value


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    hide_secrets,
]


def configure(level: str, *, as_json: bool = True) -> None:
    """Send every line of this process, ours and the libraries', to standard error in one format."""
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("httpx", "httpx2", "httpcore", "openai", "asyncio", "axes"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger("django.request").setLevel(logging.ERROR)  # every request has a line of ours already
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def request_id() -> str:
    """Return the id of the request or task being served; empty outside of one."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


def client_address() -> str:
    """Return the address the request came from; empty outside of one."""
    return str(structlog.contextvars.get_contextvars().get("address", ""))


_prefix = os.urandom(10).hex().encode()
_numbers = count()


def _new_prefix() -> None:
    global _prefix
    _prefix = os.urandom(10).hex().encode()


os.register_at_fork(after_in_child=_new_prefix)


def new_request_id() -> bytes:
    """Return an id nobody else has: what this process drew at random, and a number."""
    return b"%b%012x" % (_prefix, next(_numbers))


def begin(incoming_id: str = "", *, address: str = "") -> str:
    """Start the context of one request or task and return its id: the caller's if it is well-formed, else a new one."""
    structlog.contextvars.clear_contextvars()
    chosen = incoming_id if REQUEST_ID.match(incoming_id) else new_request_id().decode()
    structlog.contextvars.bind_contextvars(request_id=chosen)
    if address:
        structlog.contextvars.bind_contextvars(address=address)
    return chosen


def bind(**fields: object) -> None:
    """Add fields to every later line of this request."""
    structlog.contextvars.bind_contextvars(**fields)
