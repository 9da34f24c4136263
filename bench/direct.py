"""The official `openai` client alone, without a gateway: `python bench/direct.py ADDRESS STREAMS TOKENS SECONDS`.

Called the quickest way it has: over aiohttp, its lines as they come. Prints the CPU seconds of the second of two rounds.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys

import httpx2
import openai


async def one(client: openai.AsyncOpenAI, model: str) -> None:
    """Ask for one stream and read every chunk."""
    asked = client.chat.completions.with_streaming_response.create(
        model=model, messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    async with asked as response:
        async for line in response.iter_lines():
            if line.startswith("data: {"):
                json.loads(line[6:])


def cpu_s() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main(address: str, streams: int, tokens: int, seconds: float) -> None:
    """Print what the streams cost."""
    transport = openai.DefaultAioHttpClient(limits=httpx2.Limits(max_connections=streams))
    client = openai.AsyncOpenAI(api_key="k", base_url=address, max_retries=0, http_client=transport)
    model = f"ok:{tokens}:{seconds / tokens * 1000:.0f}"
    for _ in range(2):
        before = cpu_s()
        await asyncio.gather(*(one(client, model) for _ in range(streams)))
    print(cpu_s() - before)
    await client.close()


if __name__ == "__main__":
    given = (sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    try:
        import uvloop

        uvloop.run(main(*given))
    except ImportError:
        asyncio.run(main(*given))
