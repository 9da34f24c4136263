"""The front door of the server process: hot routes first, Django behind them."""

import asyncio
import gc
import os
import sys

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptlab.settings")
django = get_asgi_application()

from experiments.api import delivery, environment, ofrep, ready  # noqa: E402  (Django must be set up first)
from feedback.api import intake  # noqa: E402
from feedback.api import urls as ratings  # noqa: E402
from promptlab import checks, llm  # noqa: E402
from promptlab.chat.api import export, exposures, generate, openai_face, stream  # noqa: E402
from promptlab.chat.services import ending  # noqa: E402
from promptlab.lib.asgi import HotRoutes  # noqa: E402
from promptlab.lib.watch import watch  # noqa: E402
from prompts.api import heartbeats  # noqa: E402
from prompts.services import reporting  # noqa: E402, F401  (from here on this process says what it serves)
from prompts.services.counting import fetched  # noqa: E402

checks.stop_if_unreadable()


async def close() -> None:
    """Say that this process serves no more, write what was counted, and how the last answers ended."""
    await asyncio.to_thread(watch.stop)
    await asyncio.to_thread(fetched.stop)
    await llm.aclose()
    await ending.settled()


routes = [
    *delivery.ROUTES,
    *environment.ROUTES,
    *ofrep.ROUTES,
    *heartbeats.ROUTES,
    *stream.ROUTES,
    *generate.ROUTES,
    *export.ROUTES,
    *exposures.ROUTES,
    *intake.ROUTES,
    *ratings.HOT,
    *openai_face.ROUTES,
]
# What is imported by now stays. Without this the collector looks through all of it now and then, for 100 ms each time, in
# which no stream goes on.
gc.collect()
gc.freeze()
# Requests that wait for the database are many small objects; after every 700 new ones was too often to look through them.
gc.set_threshold(10_000, 10, 10)
# Each event of the loop takes the interpreter back from the database threads, and waits so long for it at most.
sys.setswitchinterval(0.0005)
application = HotRoutes(routes, fallback=django, on_shutdown=close, quick=ready.quick)
