"""What `manage.py up` says once the web process can answer."""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from promptlab.management.first_start import ADMINISTRATOR, TEAM, Secrets

SLOW_S = 60.0
HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""How a server that listens everywhere is reached from this machine."""


def wait_until_ready(host: str, port: int, say: Callable[[str], None]) -> None:
    """Return when the web process can serve requests; after a minute tell that it still cannot."""
    started = time.monotonic()
    has_told = False
    while not _is_ready(HERE.get(host, host), port):
        if time.monotonic() - started > SLOW_S and not has_told:
            say("The web process does not answer yet; its lines above may say why.")
            has_told = True
        time.sleep(0.1)


def _is_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def address_of(host: str, port: int) -> str:
    """Return where a browser on this machine finds the server."""
    name = HERE.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def welcome(address: str, secrets: Secrets | None) -> str:
    """Return the address between two rules, with the secrets of a first start or how to make new ones.

    There are no borders at the sides, so that a command can be copied.
    """
    rule = "-" * 80
    lines = _first(address, secrets) if secrets else _later()
    return "\n".join(["", rule, f"PromptLab is running at {address}", "", *lines, rule, ""])


def _first(address: str, secrets: Secrets) -> list[str]:
    return [
        f"Sign in as {ADMINISTRATOR} with the password {secrets.password}",
        "For programs:",
        "",
        f"  export PROMPTLAB_URL={address.rstrip('/')}",
        f"  export PROMPTLAB_API_KEY={secrets.key}",
        '  curl -N $PROMPTLAB_URL/chat -H "X-API-Key: $PROMPTLAB_API_KEY" -d \'{"message": "Hello"}\'',
        "",
        "The password and the key are shown this once. Ctrl-C stops everything.",
    ]


def _later() -> list[str]:
    manage = f"{_python()} manage.py"
    return [
        f"New password:  {manage} changepassword {ADMINISTRATOR}",
        f"New API key:   {manage} issue_key --team {TEAM} --name laptop --scopes read,chat,feedback",
        "Ctrl-C stops everything.",
    ]


def _python() -> Path:
    """Return how to call, from the checkout, the Python that runs us."""
    python = Path(sys.executable)
    return python.relative_to(settings.BASE_DIR) if python.is_relative_to(settings.BASE_DIR) else python
