"""A suite of 200 cases on 3 models against an upstream that takes a fixed time: the share of the ideal time it reaches.

Run alone: `python bench/suites.py`. The upstream is a scripted provider in this process, so what is measured is ours:
claiming, reserving, calling, checking, settling.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "sdk")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptlab.settings")
os.environ.setdefault("PROMPTLAB_VAR", tempfile.mkdtemp(prefix="promptlab-bench-"))
os.environ.setdefault("TASK_WAKE_UPS", "0")
os.environ.setdefault("LOG_LEVEL", "ERROR")

CASES, MODELS, LATENCY_S = 200, 3, 0.5


def main() -> None:
    """Make the rows, run them, and print the figures."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from promptlab.llm.providers import scripted
    from prompts.services import testing
    from tests.support.make import make_prompt, make_team, newest
    from tests.support.suites import make_run, make_suite

    settings.SUITE_CALLS_AT_ONCE = int(os.environ.get("AT_ONCE", "20"))
    team = make_team()
    suite = make_suite(team, *({"variables": {"name": str(number)}} for number in range(CASES)))
    version = newest(make_prompt(team))
    reply = scripted.Reply(("good",), delay_s=LATENCY_S)
    with scripted.use(reply, name="rules", repeats=True):
        run = make_run(suite, version, *(f"rules-{number}" for number in range(MODELS)), works=False)
        begun = time.perf_counter()
        testing.work_on(run.pk)
        took = time.perf_counter() - begun
    run.refresh_from_db()
    ideal = CASES * MODELS * LATENCY_S / settings.SUITE_CALLS_AT_ONCE
    print(f"{run.state}, {run.calls} calls, {settings.SUITE_CALLS_AT_ONCE} at once: {took:.2f} s, ideal {ideal:.2f} s,")
    print(f"{ideal / took:.1%} of the ideal")


if __name__ == "__main__":
    main()
