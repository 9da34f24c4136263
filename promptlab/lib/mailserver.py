"""A mail server in one address: `smtp+tls://user:password@mail.example.com:587`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}
"""Plain, plain until STARTTLS, and TLS from the first byte."""
CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail goes. Without a host it is printed."""

    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    use_starttls: bool = False
    use_tls: bool = False

    @property
    def backend(self) -> str:
        """Django's class that sends."""
        return f"django.core.mail.backends.{'smtp' if self.host else 'console'}.EmailBackend"

    @property
    def is_open(self) -> bool:
        """Whether a password would be sent for everybody on the way to read."""
        is_near = self.host in ("localhost", "127.0.0.1", "::1")
        return bool(self.password) and not (self.use_starttls or self.use_tls or is_near)


def parse(address: str) -> MailServer:
    """Return the server that an address names. Raises ValueError, whose words repeat nothing of the address."""
    scheme, _, _ = address.partition(":")
    if scheme.lower() == CONSOLE:
        return MailServer()
    if scheme.lower() not in PORTS:
        raise ValueError(f"starts with none of: {', '.join([*PORTS, CONSOLE])}.")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("is not an address such as smtp+tls://user:password@mail.example.com:587.") from error
    if not host:
        raise ValueError("names no host.")
    return MailServer(
        host=host,
        port=port or PORTS[parts.scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        use_starttls=parts.scheme == "smtp+tls",
        use_tls=parts.scheme == "smtps",
    )
