"""Applications that follow an environment with the SDK, each a process of its own: what each serves, and from when.

`python bench/followers.py COUNT PORT,PORT,... KEY` prints one line of JSON for each change that a process has seen:
{"client", "revision", "at"}, `at` on the machine's monotonic clock; and {"client", "ready"} when it follows. It ends when
its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import time

from promptlab_sdk import Prompts

NAME, ENVIRONMENT = "bench", "production"


def say(out: int, **words: object) -> None:
    """Write one line, whole: short enough that lines of several processes do not mix."""
    os.write(out, (json.dumps(words) + "\n").encode())


def follow(number: int, port: int, key: str, out: int, over: int) -> None:
    """Follow until `over` is closed. A prompt is seen when the client would serve it to whoever asks next."""
    address = f"http://127.0.0.1:{port}"
    with Prompts.connect(address, api_key=key, env=ENVIRONMENT, refresh="stream", cache_dir=False) as prompts:
        prompts.on_change(lambda name, prompt: say(out, client=number, revision=prompt.revision, at=time.monotonic()))
        prompts.get(NAME, email="a")
        while not prompts.status().is_connected:
            time.sleep(0.05)
        say(out, client=number, ready=True)
        os.read(over, 1)


def main() -> None:
    count, ports, key = int(sys.argv[1]), [int(port) for port in sys.argv[2].split(",")], sys.argv[3]
    over, open_end = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            os.close(open_end)
            follow(number, ports[number % len(ports)], key, sys.stdout.fileno(), over)
            os._exit(0)
        children.append(child)
    sys.stdin.read()
    os.close(open_end)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
