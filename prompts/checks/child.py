"""The process that decides what could take for ever: a line of JSON in, a line of JSON out. `bounded` starts and ends it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from prompts.checks.deciding import Answer, Outcome, decide_here


def main() -> None:
    """Answer until standard input ends."""
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        try:
            outcome = decide_here(asked["kind"], asked["options"], Answer(**asked["answer"]))
        except (RecursionError, MemoryError, ValueError) as error:
            outcome = Outcome(None, f"It could not be decided: {type(error).__name__}.")
        sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
