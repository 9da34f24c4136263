"""Spanish is whole: no sentence is empty, guessed or missing a placeholder, and what is compiled is what is written."""

from __future__ import annotations

import ast
import gettext
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation
from django.utils.translation.template import templatize

from promptlab.lib.charts import Interval, interval
from promptlab.lib.formats import fmt_datetime, fmt_int, fmt_money, fmt_pct, fmt_points, fmt_range, fmt_when

ROOT = Path(settings.BASE_DIR)
FOLDER = ROOT / "locale" / "es" / "LC_MESSAGES"
CODE = ("promptlab", "prompts", "experiments", "feedback")
KEYWORDS = [
    f"--keyword={name}"
    for name in [
        "gettext_noop",
        "gettext_lazy",
        "ngettext_lazy:1,2",
        "pgettext:1c,2",
        "npgettext:1c,2,3",
        "pgettext_lazy:1c,2",
    ]
]
NOON = datetime(2025, 11, 13, 12, tzinfo=UTC)
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[sdg]|\{\{?[>\s\w\[\].!]*\}\}?")
MEND = "Write it in locale/es/LC_MESSAGES/django.po, then compile: docs/development.md says how."


@dataclass
class Entry:
    """One sentence of a .po file: its parts by field name (`msgid`, `msgstr[0]`, ...) and its flags."""

    parts: dict[str, str] = field(default_factory=dict)
    flags: str = ""

    @property
    def key(self) -> str:
        """Return how a compiled catalogue names it: the context goes before a mark."""
        context = self.parts.get("msgctxt")
        return self.parts["msgid"] if context is None else f"{context}\x04{self.parts['msgid']}"

    @property
    def said(self) -> list[str]:
        return [text for name, text in self.parts.items() if name.startswith("msgstr")]

    @property
    def meant(self) -> list[str]:
        return [text for name, text in self.parts.items() if name in ("msgid", "msgid_plural")]


def read(text: str) -> Iterator[Entry]:
    """Yield the sentences of a .po file, without its head."""
    for block in text.split("\n\n"):
        entry, name = Entry(), ""
        for line in block.splitlines():
            if line.startswith("#,"):
                entry.flags = line
            elif line and not line.startswith("#"):
                word, _, rest = line.partition(" ")
                name, literal = (name, line) if line.startswith('"') else (word, rest)
                entry.parts[name] = entry.parts.get(name, "") + ast.literal_eval(literal)
        if entry.parts.get("msgid"):
            yield entry


def written() -> list[Entry]:
    return list(read((FOLDER / "django.po").read_text(encoding="utf-8")))


def test_every_sentence_is_translated_and_none_is_guessed() -> None:
    wrong = [one.key for one in written() if "fuzzy" in one.flags or not all(one.said)]
    assert not wrong, MEND


def test_every_number_has_its_form() -> None:
    """Where one is missing, readers get English for as many things as it is about."""
    head = (FOLDER / "django.po").read_text(encoding="utf-8").split("\n\n", 1)[0]
    forms = int(re.findall(r"nplurals=(\d)", head)[0])
    wrong = [one.key for one in written() if "msgid_plural" in one.parts and len(one.said) != forms]
    assert not wrong, MEND


def test_both_sides_have_the_same_placeholders() -> None:
    def marks(texts: list[str]) -> set[str]:
        return {mark for text in texts for mark in PLACEHOLDER.findall(text)}

    wrong = [one.key for one in written() if marks(one.meant) != marks(one.said)]
    assert not wrong, MEND


def test_editors_read_of_the_current_text_and_its_alternatives() -> None:
    """The words of developers for the two sides of an experiment stay in the API."""

    def words(texts: list[str]) -> set[str]:
        return {word.lower() for text in texts for word in re.findall(r"\w+", PLACEHOLDER.sub("", text))}

    wrong = [one.key for one in written() if words([*one.meant, *one.said]) & {"control", "treatment", "tratamiento"}]
    assert wrong == []


def test_what_is_compiled_is_what_is_written() -> None:
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for one in written():
        number = [int(name[7]) for name in one.parts if name.startswith("msgstr[")]
        keys = [(one.key, n) for n in number] or [one.key]
        assert [compiled._catalog[key] for key in keys] == one.said, MEND  # type: ignore[attr-defined]


@pytest.mark.skipif(not shutil.which("xgettext"), reason="GNU gettext's xgettext collects the sentences")
def test_no_sentence_of_the_code_is_missing(tmp_path: Path) -> None:
    sources = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
    for index, page in enumerate(
        path for ending in ("html", "txt") for path in (ROOT / "templates").rglob(f"*.{ending}")
    ):
        sources.append(tmp_path / f"{index}.py")
        sources[-1].write_text(templatize(page.read_text(encoding="utf-8")), encoding="utf-8")
    (tmp_path / "sources").write_text("\n".join(map(str, sources)), encoding="utf-8")
    command = [
        "xgettext",
        "--language=Python",
        "--from-code=UTF-8",
        "--output=-",
        f"--files-from={tmp_path / 'sources'}",
    ]
    found = subprocess.run([*command, *KEYWORDS], capture_output=True, text=True, check=True).stdout
    assert {one.key for one in read(found)} - {one.key for one in written()} == set(), MEND


def test_charts_and_their_tables_write_numbers_as_spanish_readers_do() -> None:
    with translation.override("es"):
        drawn = str(interval([Interval("A", 0.7798, 0.7512, 0.8031), Interval("B", 0.6, 0.55, 0.65)]))
        shown = (fmt_pct(0.7798), fmt_range(0.7512, 0.8031), fmt_int(1234567), fmt_money(1234.5), fmt_points(-0.048))
        assert (fmt_when(NOON), fmt_datetime(NOON)) == ("13 nov 2025", "13 nov 2025, 12:00")
    assert tuple(text.replace("\u00a0", " ") for text in shown) == (
        "78,0 %", "75,1–80,3 %", "1.234.567", "$1.234,50", "−4,8 puntos",
    )  # fmt: skip
    picture, table = drawn.split("<table", 1)
    assert shown[0] in picture and shown[0] in table and shown[1] in table and "78.0" not in drawn
    assert "Tasa de aprobación" in table
