"""Files that a preview carries along in its form, so that what is imported is what was looked at, byte for byte."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

from django.utils.translation import gettext

from promptlab.lib.errors import Invalid

MOST_BYTES: Final = 1_200_000
"""The preview carries the file along in its form, which may hold two million characters."""


def packed(data: bytes) -> str:
    """Return bytes as a form carries them."""
    return b64encode(data).decode()


def unpacked(said: str) -> bytes:
    """Return what was packed. Raises Invalid naming the file."""
    try:
        return b64decode(said, validate=True)
    except ValueError as error:
        raise Invalid.field("file", gettext("Choose the file again.")) from error
