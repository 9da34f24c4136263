"""Where we may call out to. An address is parsed once, every IP address of its host is checked, and a checked one is called.

`ipaddress.is_private` and `is_global` are not enough: multicast, NAT64 and 6to4 count as global there.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import FieldProblem, Invalid

LONGEST = 1000
URL = re.compile(
    r"(?P<scheme>(?i:https?))://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>[/?][A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*)?"
)
"""Plain ASCII, no user name, no fragment, no backslash: nothing that two readers could understand differently."""
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
AT_HOME = ("localhost", "localdomain", "local", "internal", "intranet", "lan", "home.arpa")
"""Names that never lead to a public host."""
UNICAST_6 = ip_network("2000::/3")
REFUSED_4 = [
    ip_network(net)
    for net in ("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3")
]
REFUSED_6 = [ip_network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20")]
IP = IPv4Address | IPv6Address


class AddressRefused(Invalid):
    """One sentence for every reason: what is in our network must not be learned by trying."""

    code = "address_refused"
    detail = _("Give an address that begins with https:// and leads to a public host, without a user name.")


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed address. `is_trusted`: the operator allows plain HTTP and private networks for this host."""

    scheme: str
    host: str
    port: int
    path: str
    is_trusted: bool

    @property
    def host_header(self) -> str:
        """What the receiver is told that it was called as."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == {"https": 443, "http": 80}[self.scheme]
        return shown if is_usual else f"{shown}:{self.port}"

    def at(self, address: str) -> str:
        """Return the URL that calls the target at one IP address."""
        shown = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{shown}:{self.port}{self.path}"


def parse(url: str, *, trusted: Iterable[str] = (), field: str = "url") -> Target:
    """Return the parsed address. `trusted`: the hosts for which plain HTTP and private networks are allowed.

    Raises AddressRefused, about `field`, for what is not https, not plain, or not public by its spelling.
    """
    try:
        return _parsed(url, {name.strip("[]").lower() for name in trusted})
    except AddressRefused as error:
        error.problems = (FieldProblem(field, error.detail, error.code),)
        raise


def _parsed(url: str, trusted: set[str]) -> Target:
    found = URL.fullmatch(url)
    if found is None or len(url) > LONGEST:
        raise AddressRefused
    scheme, host, path = found["scheme"].lower(), _host(found["host"]), found["path"] or "/"
    is_trusted = host in trusted
    port = int(found["port"]) if found["port"] else {"https": 443, "http": 80}[scheme]
    if not 1 <= port <= 65535:
        raise AddressRefused
    if not is_trusted and (scheme != "https" or not _looks_public(host)):
        raise AddressRefused
    return Target(scheme, host, port, path if path.startswith("/") else f"/{path}", is_trusted)


def is_public(address: IP) -> bool:
    """Tell whether an address is global unicast and leads nowhere else: no mapped, translated or tunnelled one."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in net for net in REFUSED_4)
    return address in UNICAST_6 and address.is_global and not any(address in net for net in REFUSED_6)


async def resolve(target: Target) -> str:
    """Return the IP address to call. Raises AddressRefused unless every address of the host is public, or it is trusted."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressRefused from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not (target.is_trusted or all(is_public_text(address) for address in addresses)):
        raise AddressRefused
    return addresses[0]


def is_public_text(address: str) -> bool:
    """Tell the same of an address as it is written; not of a name."""
    try:
        return is_public(ip_address(address))
    except ValueError:
        return False


def _host(raw: str) -> str:
    """Return the host in its one spelling: an IP address, or a name. `127.1`, `0x7f000001` and `017.0.0.1` are neither."""
    try:
        if raw.startswith("["):
            return str(IPv6Address(raw[1:-1]))
        labels = raw.lower().split(".")
        if NUMBER.fullmatch(labels[-1]):
            return str(IPv4Address(raw))
    except ValueError as error:
        raise AddressRefused from error
    if len(raw) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise AddressRefused
    return raw.lower()


def _looks_public(host: str) -> bool:
    """Tell whether the spelling alone speaks against it; what a name leads to is seen when it is called."""
    try:
        return is_public(ip_address(host))
    except ValueError:
        return "." in host and not f".{host}".endswith(tuple(f".{name}" for name in AT_HOME))
