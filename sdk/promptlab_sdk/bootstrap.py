"""Prompts that ship with the application: a bundle, a signed lock file, or texts written in the code.

`manage.py bundle --sign` writes the lock file; docs/spec/lock.md says what is signed.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from promptlab_sdk.errors import BootstrapInvalid, PromptLabError
from promptlab_sdk.kernel.lock import signature
from promptlab_sdk.kernel.spec import JSON, Delivery
from promptlab_sdk.memory import Loaded
from promptlab_sdk.prompt import local_spec
from promptlab_sdk.source import Bundle, Key, bundle_of, loaded

log = logging.getLogger("promptlab")

BootstrapKey = str | bytes | Mapping[str, str | bytes]
"""The secret a lock file is signed with; or several, by their `key_id`."""

MAX_BYTES = 256 * 1024 * 1024


class Bootstrap:
    """What was there before the first answer of a server. `created_at` is in Unix time, None when nobody said."""

    def __init__(self, bundle: Bundle, created_at: float | None) -> None:
        self.created_at = created_at
        self._environment = bundle.environment
        self._deliveries = {delivery.prompt.name: delivery for delivery in bundle.deliveries}
        self._told = False

    @property
    def age_s(self) -> float | None:
        """How old the prompts are, in seconds."""
        return None if self.created_at is None else max(time.time() - self.created_at, 0.0)

    def get(self, key: Key) -> Loaded[Delivery] | None:
        """Return the prompt, if it is in there for that environment or version."""
        name, env, version = key
        delivery = self._deliveries.get(name)
        if delivery is None or (env and self._environment and env != self._environment):
            return None
        if version is not None and version not in (delivery.prompt.version, delivery.prompt.version_string):
            return None
        if not self._told:
            self._told = True
            age = "unknown" if self.age_s is None else f"{self.age_s:.0f}"
            log.warning("serving from the bootstrap: environment=%s age_s=%s", self._environment or "any", age)
        found = loaded(delivery)
        return Loaded(delivery, supply="bootstrap", age_s=self.age_s or 0.0, order=found.order, weight=found.weight)


def read_bootstrap(given: Mapping[str, JSON] | str | os.PathLike[str], key: BootstrapKey | None = None) -> Bootstrap:
    """Return the prompts of a mapping or a file: a bundle, a lock file, or `{name: text or messages}`.

    With `key` only a lock file signed with it is accepted. Raises BootstrapInvalid.
    """
    data = given if isinstance(given, Mapping) else _read(Path(given))
    if "payload" in data:
        payload, created_at = _opened(data, key)
    elif key is not None:
        raise BootstrapInvalid("A bootstrap key was given, and the bootstrap is not signed.")
    else:
        payload, created_at = data, None
    try:
        if isinstance(payload.get("prompts"), list):
            return Bootstrap(bundle_of(payload), created_at)
        specs = [Delivery(local_spec(name, content), "", 0) for name, content in payload.items()]
    except (AttributeError, KeyError, TypeError, PromptLabError) as error:
        raise BootstrapInvalid(f"The bootstrap is neither a bundle nor prompts by name ({error}).") from error
    return Bootstrap(Bundle("", 0, tuple(specs)), created_at)


def _opened(lock: Mapping[str, JSON], key: BootstrapKey | None) -> tuple[Mapping[str, JSON], float]:
    """Return the payload of a lock file and when it was made. Raises BootstrapInvalid."""
    try:
        payload, created_at = lock["payload"], str(lock["created_at"])
        made_at = datetime.fromisoformat(created_at)
    except (KeyError, ValueError) as error:
        raise BootstrapInvalid("The lock file does not say when it was made.") from error
    if key is not None:
        secret = key.get(str(lock.get("key_id", ""))) if isinstance(key, Mapping) else key
        if secret is None:
            raise BootstrapInvalid("The lock file was signed with a key that is not among those given.")
        if not hmac.compare_digest(str(lock.get("signature", "")), signature(payload, created_at, secret)):
            raise BootstrapInvalid("The signature of the lock file is wrong.")
    return payload, made_at.astimezone().timestamp()


def _read(path: Path) -> Mapping[str, JSON]:
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError) as error:
        raise BootstrapInvalid(f"The bootstrap {path.name} cannot be read ({type(error).__name__}).") from error
    if not isinstance(data, Mapping):
        raise BootstrapInvalid(f"The bootstrap {path.name} is not a JSON object.")
    return data
