"""Reads: texts that versions include by name (`{{> name}}`): what they are, what they were, and who includes whom."""

from prompts.snippets.resolving import Newest, called, resolve, resolve_all, resolve_at, resolve_pinned
from prompts.snippets.uses import Served, Use, live_includers, served_with, where_used
from prompts.snippets.weaving import MAX_CHARACTERS, MAX_DEPTH, Resolved, Weaver, included_in

__all__ = [
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "Newest",
    "Resolved",
    "Served",
    "Use",
    "Weaver",
    "called",
    "included_in",
    "live_includers",
    "resolve",
    "resolve_all",
    "resolve_at",
    "resolve_pinned",
    "served_with",
    "where_used",
]
