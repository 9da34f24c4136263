"""The application behind a real socket, in a thread of the test: for clients that bring their own transport."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from promptlab.lib.asgi import Application

PATIENCE_S = 20.0


@contextlib.contextmanager
def serving(application: Application) -> Iterator[str]:
    """Serve while the context lasts, and give the address."""
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(application, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="serving")
    thread.start()
    try:
        assert started.wait(PATIENCE_S), "The server did not start."
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
    assert not thread.is_alive(), "The server did not end."
