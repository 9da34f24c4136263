"""Write growthbook.json, whom GrowthBook's own SDK assigns: `python -m tests.kernel.make_growthbook`, with it installed.

It brings an HTTP stack that nothing else here needs, so it is no requirement; the cases are made again from a seed, and
only its 100,000 answers are kept: one character each, the variant's index or "-", compressed.
"""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from promptlab_sdk.kernel.assignment import SLOTS, ranges
from promptlab_sdk.kernel.spec import NamespaceSpec, Range

FILE = Path(__file__).with_name("growthbook.json")
EXPERIMENTS = 1_000
UNITS = 100
LETTERS = "abcXYZ019-_.@ /\u00e9\u00fc\u03a9\u65e5\u672c\U0001f600\U0001d4b3\ufffd"
Split = tuple[str, tuple[tuple[Range, ...], ...], list[str], NamespaceSpec | None]
"""(seed, ranges of each variant, unit ids, the part of a namespace it has for itself)"""


def splits() -> Iterator[Split]:
    """Yield the experiments with their units, always the same ones.

    Only `random()` is drawn from, whose values no version of Python changes. Every fourth experiment has variants with
    several ranges, as a change of weights leaves them; every fifth has a part of a namespace.
    """
    chance, apart = random.Random(20261121), random.Random(20261122)
    for number in range(EXPERIMENTS):
        seed = f"{int(chance.random() * 2**53):014x}"
        own = tuple((one,) for one in ranges(_weights(chance), _coverage(chance)))
        yield (
            seed,
            _cut(chance, own) if number % 4 == 3 else own,
            [_unit(chance) for _ in range(UNITS)],
            (_namespace(apart) if number % 5 == 4 else None),
        )


def _weights(chance: random.Random) -> list[int]:
    """Return 2 to 5 weights: even ones, or any that sum to 10000."""
    count = 2 + int(chance.random() * 4)
    cuts = sorted(int(chance.random() * (SLOTS + 1)) for _ in range(count - 1))
    if chance.random() < 0.3:
        cuts = [SLOTS * at // count for at in range(1, count)]
    return [high - low for low, high in zip([0, *cuts], [*cuts, SLOTS], strict=True)]


def _coverage(chance: random.Random) -> int:
    return SLOTS if chance.random() < 0.5 else int(chance.random() * (SLOTS + 1))


def _cut(chance: random.Random, own: tuple[tuple[Range, ...], ...]) -> tuple[tuple[Range, ...], ...]:
    """Return variants of which each gives the upper part of its range to the next one."""
    cuts = [low + int(chance.random() * (high - low + 1)) for ((low, high),) in own]
    taken = [(cut, high) for cut, ((_, high),) in zip(cuts, own, strict=True)]
    kept = [(low, cut) for cut, ((low, _),) in zip(cuts, own, strict=True)]
    return tuple((mine, theirs) for mine, theirs in zip(kept, [taken[-1], *taken[:-1]], strict=True))


def _namespace(chance: random.Random) -> NamespaceSpec:
    """Return one or two ranges of a namespace that ten experiments share."""
    cuts = sorted(int(chance.random() * (SLOTS + 1)) for _ in range(4))
    ranges = ((cuts[0], cuts[1]), (cuts[2], cuts[3]))
    return NamespaceSpec(f"namespace-{int(chance.random() * 10)}", ranges[: 1 + int(chance.random() * 2)])


def _unit(chance: random.Random) -> str:
    if chance.random() < 0.5:
        return f"user-{int(chance.random() * 1e9)}"
    return "".join(LETTERS[int(chance.random() * len(LETTERS))] for _ in range(1 + int(chance.random() * 30)))


def asked() -> str:
    """Return what GrowthBook's SDK says of all of them: hash version 2, explicit ranges (several by `meta.key`), filters."""
    from growthbook import Experiment, GrowthBook

    answers = []
    for seed, variants, unit_ids, namespace in splits():
        flat = [(index, one) for index, owned in enumerate(variants) for one in owned]
        experiment = Experiment(
            key="any",
            variations=[index for index, _ in flat],
            meta=[{"key": str(index)} for index, _ in flat],
            hashVersion=2,
            seed=seed,
            ranges=[(low / SLOTS, high / SLOTS) for _, (low, high) in flat],
            filters=[_filter(namespace)] if namespace else None,
        )
        for unit_id in unit_ids:
            found = GrowthBook(attributes={"id": unit_id}).run(experiment)
            answers.append(str(found.value) if found.inExperiment else "-")
    return "".join(answers)


def _filter(namespace: NamespaceSpec) -> dict[str, object]:
    """Return a namespace as GrowthBook writes one."""
    ranges = [(low / SLOTS, high / SLOTS) for low, high in namespace.ranges]
    return {"attribute": "id", "seed": namespace.seed, "hashVersion": 2, "ranges": ranges}


def packed(answers: str) -> str:
    return base64.b64encode(zlib.compress(answers.encode(), 9)).decode()


def unpacked(text: str) -> str:
    return zlib.decompress(base64.b64decode(text)).decode()


if __name__ == "__main__":
    said = {"package": f"growthbook {version('growthbook')}", "answers": packed(asked())}
    FILE.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
