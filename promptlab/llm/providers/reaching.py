"""Where a connection to a provider may lead: every address of its name is looked at when it is opened, not before.

A name that led to a public host when it was saved may lead into our network later. Imported with the SDK, at the first call.
"""

from __future__ import annotations

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from promptlab.lib import addresses


class PublicOnly(AbstractResolver):
    """Find the addresses of a name, and none where one of them is not public. The connection goes to what was looked at."""

    def __init__(self) -> None:
        self._names = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._names.resolve(host, port, family)
        if not all(addresses.is_public_text(one["host"]) for one in found):
            raise OSError("The name leads to an address that is not public.")
        return found

    async def close(self) -> None:
        await self._names.close()
