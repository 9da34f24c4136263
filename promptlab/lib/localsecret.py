"""A secret of this machine alone, for running without any configuration: random, made once, readable by its owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def local_secret(path: Path) -> str:
    """Return the secret in `path`, making the file on the first call. Two processes starting at once agree on one."""
    try:
        return _existing(path)
    except FileNotFoundError:
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(50))
        try:
            os.link(draft, path)  # fails if another process was first; then its secret counts
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return _existing(path)


def _existing(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
