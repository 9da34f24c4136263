"""Small secrets at rest: sealed before they go into a column, opened where they are used and nowhere else.

Sealing is Fernet (AES-128-CBC with HMAC-SHA256) under a key made from the first of ENCRYPTION_KEYS; all of them open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

_LABEL = b"promptlab.sealing"


class CannotBeOpened(Exception):
    """A sealed value was changed, or its key is gone. Says nothing of the value."""

    def __init__(self) -> None:
        super().__init__(
            "A stored secret cannot be opened with any of ENCRYPTION_KEYS. Put the key that sealed it at the end of the list."
        )


def seal(plain: str) -> str:
    """Return `plain` sealed with the first key: letters, digits, - _ and =, another text every time."""
    return _first().encrypt(plain.encode()).decode()


def unseal(sealed: str) -> str:
    """Return what was sealed, with any of the keys. Raises CannotBeOpened."""
    try:
        return MultiFernet(_fernets()).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise CannotBeOpened from None


def reseal(sealed: str) -> str:
    """Return the same secret sealed with the first key; `sealed` itself if it is already. Raises CannotBeOpened."""
    try:
        _first().decrypt(sealed.encode())
    except InvalidToken:
        return seal(unseal(sealed))
    return sealed


def _first() -> Fernet:
    return _fernets()[0]


def _fernets() -> list[Fernet]:
    return [_fernet(key) for key in settings.ENCRYPTION_KEYS]


@cache
def _fernet(key: str) -> Fernet:
    """Return the cipher of a key. It is made from the key, so that SECRET_KEY may be one without serving two purposes."""
    return Fernet(base64.urlsafe_b64encode(hmac.new(key.encode(), _LABEL, hashlib.sha256).digest()))
