#!/usr/bin/env python
"""Is every acknowledged rating stored exactly once, whatever is killed meanwhile? And does lag go away again?

`.venv/bin/python bench/ratings_storm.py` rates through the API at full speed from 16 clients, while worker, web, Redis
and PostgreSQL are killed with SIGKILL in turns and batches are sent again on purpose. Each client keeps a ledger of what
was acknowledged. In the end rows, keys and the experiment's sums are compared with it; a difference is exit code 1.

`--lag` has 500 ratings a second arrive, takes the workers away for a minute, and tells how soon lag is under a second.

PostgreSQL and Valkey are started for it and removed afterwards. See bench/README.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "sdk")]

import storm  # noqa: E402
from mortal import House  # noqa: E402

KILLS = {"worker": 10, "web": 2, "redis": 2, "database": 2}
SIZES = (1, 10, 50)
AGAIN, FLIPS, RETRACTIONS = 0.05, 0.10, 0.03
RETRIED = (429, 500, 502, 503, 504)
Event = dict[str, Any]


@dataclass(slots=True)
class Client:
    """Sends its batches one after the other, each until it is taken, and writes down what was acknowledged."""

    port: int
    key: str
    batches: list[list[Event]]
    seed: int
    acknowledged: dict[str, str] = field(default_factory=dict)
    """The rating's id by idempotency key."""
    last: dict[tuple[str, str], int | None] = field(default_factory=dict)
    """What stands of (message, user)."""
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    done: int = 0
    slowest_s: float = 0.0
    """How long it took at most to be refused."""
    connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        chance = random.Random(self.seed)
        for place, batch in enumerate(self.batches):
            self.deliver(batch, is_new=True)
            if chance.random() < AGAIN:
                self.answers["sent again on purpose"] += 1
                self.deliver(self.batches[chance.randrange(place + 1)], is_new=False)
            self.done += len(batch)

    def deliver(self, batch: list[Event], *, is_new: bool) -> None:
        """Send a batch until it is acknowledged."""
        while (answer := self.send(batch)) is None:
            time.sleep(0.1)
        for event, item in zip(batch, answer, strict=True):
            known = self.acknowledged.setdefault(event["id"], item["feedback_id"])
            if known != item["feedback_id"]:
                self.wrong.append(f"{event['id']} was {known}, and is {item['feedback_id']}")
            if is_new:
                self.last[event["message_id"], event["user"]] = event.get("rating")

    def send(self, batch: list[Event]) -> list[Event] | None:
        """Return what was acknowledged; None when it has to be sent again."""
        self.connection = self.connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        body = batch[0] if len(batch) == 1 else {"items": batch}
        began = time.monotonic()
        try:
            headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
            self.connection.request("POST", "/feedback", json.dumps(body), headers)
            answer = self.connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.connection.close()
            self.connection = None
            self.answers[f"cut off ({type(error).__name__})"] += 1
            return None
        self.answers[str(answer.status)] += 1
        if answer.status in RETRIED:
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            return None
        if answer.status != 202:
            self.wrong.append(f"{answer.status}: {json.dumps(said)[:200]}")
            sys.exit(f"Not an answer to expect: {answer.status} {json.dumps(said)[:500]}")
        return [said] if len(batch) == 1 else said["items"]


def ratings_of(uids: list[str], number: int, client: int) -> list[Event]:
    """Return a client's ratings in their order: first ones, changes of them, and some that are taken back."""
    chance = random.Random(client)
    made: list[Event] = []
    for place in range(number):
        event = {"id": f"c{client}-{place}"}
        dice = chance.random()
        if made and dice < FLIPS + RETRACTIONS:
            said = made[chance.randrange(len(made))]
            event |= {"message_id": said["message_id"], "user": said["user"]}
            event |= {"rating": chance.choice((1, -1))} if dice < FLIPS else {"retract": True}
        else:
            event |= {"message_id": uids[place % len(uids)], "user": f"r{client}-{place // len(uids)}"}
            event |= {"rating": 1 if chance.random() < 0.7 else -1, "comment": "Clear."}
        made.append(event)
    return made


def batches_of(ratings: list[Event], seed: int) -> list[list[Event]]:
    chance, found = random.Random(seed), []
    while ratings:
        size = chance.choice(SIZES)
        found.append(ratings[:size])
        ratings = ratings[size:]
    return found


def prepare(house: House, answers: int, units: int) -> tuple[list[str], str]:
    """Make tables, answers of a running experiment and a key; return the answers' ids and the key."""
    os.environ |= house.env
    storm.setup()
    from django.core.management import call_command

    from promptlab.accounts.access import SYSTEM
    from promptlab.accounts.models import Team
    from promptlab.accounts.services import issue_key

    call_command("migrate", verbosity=0)
    rows = storm.answers(answers, units)
    team = Team.objects.get(pk=rows[0].conversation.team_id)
    _, key = issue_key(SYSTEM, team, name="storm", scopes=["feedback"])
    return [str(row.uid) for row in rows], key


def wait_for_web(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/livez")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
    sys.exit("The web process does not answer.")


def forget_connections() -> None:
    """Connect anew: what we had was the killed database's."""
    from django.db import connection

    connection.close()
    connection.close_pool()


def asked(question: str) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchall()


def differences(clients: list[Client]) -> list[str]:
    """Return where rows, keys and sums say anything else than the ledgers."""
    ledger: dict[str, str] = {}
    last: dict[tuple[str, str], int | None] = {}
    for client in clients:
        ledger |= client.acknowledged
        last |= client.last
    wrong = [line for client in clients for line in client.wrong]
    keys = dict(
        asked(
            "SELECT k.key, f.uid::text FROM feedback_feedbackreceipt k JOIN feedback_feedback f ON f.id = k.feedback_id"
        )
    )
    rows = asked(
        "SELECT m.uid::text, f.rater, f.value FROM feedback_feedback f JOIN chat_message m ON m.id = f.message_id"
    )
    held = {(uid, rater): value for uid, rater, value in rows}
    wrong += [f"{key} is lost" for key in ledger.keys() - keys.keys()]
    wrong += [f"{key} is there and was never acknowledged" for key in keys.keys() - ledger.keys()]
    wrong += [
        f"{key} is {keys[key]}, not {ledger[key]}" for key in ledger.keys() & keys.keys() if ledger[key] != keys[key]
    ]
    if len(rows) != len(last):
        wrong.append(f"{len(rows)} rows instead of {len(last)}")
    wrong += [f"{once} says {held.get(once)}, not {value}" for once, value in last.items() if held.get(once) != value]
    counted = asked("SELECT COALESCE(SUM(ratings), 0), COALESCE(SUM(ups), 0) FROM experiments_hourrollup")[0]
    standing = [value for value in last.values() if value is not None]
    expected = (len(standing), sum(value == 1 for value in standing))
    if tuple(map(int, counted)) != expected:
        wrong.append(f"sums of (ratings, ups) are {counted} instead of {expected}")
    return wrong + storm.differences()


def run_storm(options: argparse.Namespace, house: House) -> list[str]:
    uids, key = prepare(house, options.answers, options.units)
    house.open()
    wait_for_web(house.port)
    each, mine = options.events // options.clients, len(uids) // options.clients
    clients = [
        Client(
            house.port,
            key,
            batches_of(ratings_of(uids[number * mine : (number + 1) * mine], each, number), number),
            number,
        )
        for number in range(options.clients)
    ]
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    faults = [what for what, kills in KILLS.items() for _ in range(kills)]
    random.Random(5).shuffle(faults)
    began, total = time.monotonic(), each * options.clients
    for thread in threads:
        thread.start()
    for number, what in enumerate(faults, start=1):
        while sum(client.done for client in clients) < total * number / (len(faults) + 1):
            if not any(thread.is_alive() for thread in threads):
                break
            time.sleep(0.05)
        print(
            f"  {time.monotonic() - began:6.1f} s  {sum(client.done for client in clients):7} taken, {what} killed",
            flush=True,
        )
        house.fault(what)
    for thread in threads:
        thread.join()
    took_s = time.monotonic() - began
    forget_connections()
    until = time.monotonic() + 120
    while storm.waiting() and time.monotonic() < until:
        time.sleep(0.2)
    summed_s = time.monotonic() - began
    answers = sum((client.answers for client in clients), Counter())
    print(f"{total} events acknowledged in {took_s:.0f} s ({total / took_s:.0f}/s), in the sums after {summed_s:.0f} s")
    print("killed: " + ", ".join(f"{what} {times}" for what, times in house.faults.items()))
    for what, times in sorted(answers.items()):
        print(f"  {what:32} {times:7}")
    print(f"the slowest refusal took {max(client.slowest_s for client in clients):.2f} s")
    if left := storm.waiting():
        return [f"{left} wait to be added", *differences(clients)]
    return differences(clients)


def lag_s() -> float:
    """Return how old the oldest rating is that is not in the sums."""
    return float(
        asked(
            "SELECT COALESCE(EXTRACT(EPOCH FROM NOW() - MIN(updated_at)), 0) FROM feedback_feedback WHERE rolled_up_at IS NULL"
        )[0][0]
    )


def run_lag(options: argparse.Namespace, house: House) -> list[str]:
    """Have ratings arrive steadily, take the workers away, bring them back, and watch how old the oldest one waits."""
    uids, key = prepare(house, options.answers, options.units)
    house.open()
    wait_for_web(house.port)
    while storm.waiting():
        time.sleep(0.5)
    ended, batch = threading.Event(), 25
    client = Client(house.port, key, [], 0)
    sent = [0]

    def arrive() -> None:
        began = time.monotonic()
        while not ended.is_set():
            events = [
                {
                    "id": f"l{sent[0] + n}",
                    "message_id": uids[(sent[0] + n) % len(uids)],
                    "user": f"l{sent[0] + n}",
                    "rating": 1,
                }
                for n in range(batch)
            ]
            client.deliver(events, is_new=True)
            sent[0] += batch
            time.sleep(max(0.0, began + sent[0] / options.rate - time.monotonic()))

    thread = threading.Thread(target=arrive, daemon=True)
    thread.start()
    began = time.monotonic()
    back_at = moved_at = under_at = 0.0
    worst = calm = 0.0
    away_at = began + 8
    is_away = False
    while True:
        now, seen = time.monotonic(), lag_s()
        if now < away_at:
            calm = max(calm, seen) if now > began + 3 else 0.0
        elif not is_away and not back_at:
            is_away = True
            for worker in house.workers:
                worker.kill()
        elif is_away and now >= away_at + options.outage:
            is_away, back_at, worst = False, now, seen
            for worker in house.workers:
                worker.start()
        elif back_at:
            if seen < worst + now - back_at - 0.5:
                moved_at = moved_at or now
            under_at = under_at or now if seen < 1 else 0.0
            if (under_at and now - under_at > 5) or now - back_at > 120:
                break
        time.sleep(0.1)
    ended.set()
    thread.join()
    took_s = under_at - back_at if under_at else float("inf")
    print(f"{sent[0] / (time.monotonic() - began):.0f} ratings a second; lag before: at most {calm:.2f} s")
    print(
        f"after {options.outage:.0f} s without workers: {worst:.1f} s; they came back and took {moved_at - back_at:.1f} s to start,"
    )
    print(f"and {took_s:.1f} s, starting included, until lag was under 1 s for good")
    while storm.waiting():
        time.sleep(0.2)
    return [*([f"lag took {took_s:.1f} s, and may take 10"] if took_s > 10 else []), *differences([client])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--answers", type=int, default=8_000)
    parser.add_argument("--units", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lag", action="store_true", help="no storm: an outage of the workers")
    parser.add_argument("--rate", type=int, default=500, help="ratings a second, with --lag")
    parser.add_argument("--outage", type=float, default=60, help="seconds without workers, with --lag")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="promptlab-storm-", ignore_cleanup_errors=True) as name:
        house = House(Path(name), options.workers)
        try:
            house.begin()
            wrong = (run_lag if options.lag else run_storm)(options, house)
            if wrong:
                for log in ("web.log", "workers.log"):
                    print(log, *(house.folder / log).read_text(errors="replace").splitlines()[-10:], sep="\n  ")
        finally:
            house.close()
    print(f"differences: {len(wrong)}", *wrong[:20], sep="\n  ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
