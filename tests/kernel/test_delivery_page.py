"""The example in docs/spec/delivery.md is a delivery as the kernel reads and writes it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from promptlab_sdk.kernel.assignment import ranges
from promptlab_sdk.kernel.spec import Delivery

SPEC = Path(__file__).parents[2] / "docs" / "spec"


def example() -> dict[str, Any]:
    block = re.search(r"```json\n(.*?)```", (SPEC / "delivery.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    data: dict[str, Any] = json.loads(block[1])
    return data


def test_the_example_survives_reading_and_writing() -> None:
    assert Delivery.from_dict(example()).to_dict() == example()


def test_the_checksums_of_the_example_are_right() -> None:
    delivery = Delivery.from_dict(example())
    assert delivery.experiment is not None
    for prompt in (delivery.prompt, *(variant.prompt for variant in delivery.experiment.variants)):
        assert prompt.sha256 == prompt.content.checksum()


def test_the_ranges_of_the_example_are_a_fifth_of_an_even_split() -> None:
    experiment = Delivery.from_dict(example()).experiment
    assert experiment is not None
    assert tuple(variant.ranges[0] for variant in experiment.variants) == ranges((5000, 5000), 2000)


def test_unknown_fields_are_ignored() -> None:
    assert Delivery.from_dict({**example(), "news": 1}) == Delivery.from_dict(example())


def test_the_ranges_in_the_table_of_assignment_are_right() -> None:
    page = (SPEC / "assignment.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \| (\d+) \| (\[[^|]*) \|$", page, re.MULTILINE)
    assert len(rows) == 3
    for weights, coverage, written in rows:
        found = ranges([int(weight) for weight in weights.split(",")], int(coverage))
        assert [f"[{lo}, {hi})" for lo, hi in found] == re.findall(r"\[\d+, \d+\)", written)
