"""Cases of a test suite out of files: CSV, lines of JSON, and promptfoo's YAML. What cannot be taken over is named and refused."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from promptlab.lib import jsonbody
from promptlab.lib.errors import Invalid
from prompts.checks.cases import MAX_NAME, Case, Check
from prompts.errors import FileInvalid
from prompts.porting.safe_yaml import Document, decode, load, refusal

MAX_CASES: Final = 1_000
FORMATS: Final = ("csv", "jsonl", "promptfoo")
YES: Final = frozenset({"yes", "true", "1", "x"})
NO: Final = frozenset({"", "no", "false", "0"})
_LISTS: Final = {"contains": "contains", "not_contains": "not_contains"}
_OWN: Final = ("name", "message", "expected", "tags", "required", "repeats", "equals", "regex", *_LISTS)
"""The columns of a CSV file that are not blanks. A blank of such a name is written `blank.NAME`."""


def read_cases(data: bytes, format: str, *, judge: str = "") -> list[Case]:
    """Return the cases in a file. `judge` is the prompt that judges where promptfoo says `llm-rubric`.

    Raises FileInvalid naming the place, FileTooLarge, and Invalid for a format that nobody knows.
    """
    if format not in FORMATS:
        raise Invalid.field("format", f"The format is one of {', '.join(FORMATS)}.")
    text = decode(data)
    found = list(_READERS[format](text, judge))
    if not found:
        raise FileInvalid("There is no case in the file.")
    if len(found) > MAX_CASES:
        raise FileInvalid(f"The file has more than {MAX_CASES} cases.", code="too_many")
    names: set[str] = set()
    for index, case in enumerate(found, 1):
        if case.name in names:
            raise refusal(f"there is another case {case.name!r}. Names are told apart.", path=f"cases.{index}.name")
        names.add(case.name)
    return found


def write_cases(cases: Sequence[Case]) -> str:
    """Return the cases as lines of JSON, which `read_cases` reads again."""
    return "".join(json.dumps(case.to_dict(), ensure_ascii=False, sort_keys=True) + "\n" for case in cases)


def _jsonl(text: str, judge: str) -> Iterator[Case]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield Case.from_json(jsonbody.loads(line.encode()))
        except Invalid as error:
            raise _at(number, error) from error


def _csv(text: str, judge: str) -> Iterator[Case]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        columns = reader.fieldnames or []
        if len(set(columns)) != len(columns) or not all(columns):
            raise refusal("every column has a name, and no two the same.", line=1)
        for number, row in enumerate(reader, 1):
            try:
                yield _of_row(row, number)
            except Invalid as error:
                raise _at(reader.line_num, error) from error
    except csv.Error as error:
        raise refusal(f"this is no CSV: {error}.", line=reader.line_num) from error


def _of_row(row: Mapping[str | None, Any], number: int) -> Case:
    if None in row or None in row.values():
        raise Invalid("the row has another number of columns than the first line.")
    said = {str(name): str(value) for name, value in row.items()}
    blanks = {name.removeprefix("blank."): value for name, value in said.items() if name not in _OWN}
    checks = [{"kind": "equals", "options": {"value": said["equals"]}}] if said.get("equals") else []
    checks += [{"kind": "regex", "options": {"pattern": said["regex"]}}] if said.get("regex") else []
    for column, kind in _LISTS.items():
        values = [one.strip() for one in said.get(column, "").split("|") if one.strip()]
        checks += [{"kind": kind, "options": {"values": values}}] if values else []
    required = said.get("required", "").strip().lower()
    if required not in YES | NO:
        raise Invalid.field("required", "required is yes or no.")
    repeats = said.get("repeats", "").strip() or "1"
    return Case.from_json(
        {
            "name": said.get("name") or f"Row {number}",
            "variables": blanks,
            "messages": [{"role": "user", "content": said["message"]}] if said.get("message") else [],
            "expected": said.get("expected", ""),
            "tags": said.get("tags", "").split(),
            "required": required in YES,
            "repeats": int(repeats) if repeats.isdecimal() and len(repeats) < 5 else repeats,
            "checks": checks,
        }
    )


def _promptfoo(text: str, judge: str) -> Iterator[Case]:
    document = load(text)
    whole = document.value if isinstance(document.value, dict) else {"tests": document.value}
    tests = whole.get("tests")
    if not isinstance(tests, list):
        raise document.problem("tests", "there is no list of tests in the file itself.")
    base = _Test(document, "defaultTest", whole.get("defaultTest") or {}, judge)
    # A list at the top has no key before its places.
    lead = "tests." if isinstance(document.value, dict) else ""
    seen: set[str] = set()
    for index, value in enumerate(tests):
        test = _Test(document, f"{lead}{index}", value, judge)
        yield test.case(base, index + 1, seen)


class _Test:
    """One test of promptfoo's, read strictly: a word that is not known is refused, so that no check is lost silently."""

    _KEYS = ("description", "vars", "assert", "metadata")

    def __init__(self, document: Document, place: str, value: Any, judge: str) -> None:
        self._document, self._place, self._judge = document, place, judge
        if not isinstance(value, dict):
            raise document.problem(place, "a test is an object.")
        for key in value:
            if key not in self._KEYS:
                raise document.problem(f"{place}.{key}", f"{key!r} of a test cannot be taken over.")
        self.variables = value.get("vars") or {}
        if not isinstance(self.variables, dict):
            raise document.problem(f"{place}.vars", "vars are an object; files of them cannot be read.")
        self._name = value.get("description")
        asserts = value.get("assert") or []
        if not isinstance(asserts, list):
            raise document.problem(f"{place}.assert", "assert is a list.")
        self.checks = [self._check(one, f"{place}.assert.{index}") for index, one in enumerate(asserts)]

    def case(self, base: _Test, number: int, seen: set[str]) -> Case:
        """Return the test as a case; one whose description is not its own has its number behind it."""
        name = str(self._name or f"Test {number}")[: MAX_NAME - 8].strip()
        name = f"{name} ({number})" if name in seen else name
        seen.add(name)
        variables = {**base.variables, **self.variables}
        value = {"name": name, "variables": variables, "checks": [*base.checks, *self.checks]}
        try:
            return Case.from_json(value)
        except Invalid as error:
            raise self._document.problem(self._place, f"{error.detail}") from error

    def _check(self, value: Any, place: str) -> dict[str, Any]:
        kind = str(value.get("type")) if isinstance(value, dict) else ""
        if kind not in _ASSERTIONS:
            known = ", ".join(_ASSERTIONS)
            raise self._document.problem(
                f"{place}.type", f"the assertion {kind!r} cannot be taken over. Known: {known}."
            )
        for key in value:
            if key not in ("type", "value", "threshold", "metric"):
                raise self._document.problem(f"{place}.{key}", f"{key!r} of an assertion cannot be taken over.")
        if kind == "llm-rubric" and not self._judge:
            raise self._document.problem(f"{place}.type", "llm-rubric needs a prompt that judges. Name it with judge.")
        try:
            made = _ASSERTIONS[kind](value.get("value"), value.get("threshold"), self._judge)
            return Check.from_json(made, place).to_dict()
        except Invalid as error:
            raise self._document.problem(place, error.detail) from error


def _texts(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [_text(value)]


def _text(value: Any) -> Any:
    """Return a number as it is written: YAML reads `42` as one, and promptfoo compares letters."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _words(kind: str, *, any: bool = False, ignore_case: bool = False) -> _Maker:
    def make(value: Any, threshold: Any, judge: str) -> dict[str, Any]:
        options = {"values": _texts(value), "ignore_case": ignore_case}
        return {"kind": kind, "options": {**options, "any": True} if any else options}

    return make


def _json(value: Any, threshold: Any, judge: str) -> dict[str, Any]:
    return {"kind": "json_schema", "options": {"schema": value}} if value else {"kind": "is_json"}


def _rubric(value: Any, threshold: Any, judge: str) -> dict[str, Any]:
    least = {} if threshold is None else {"least": threshold}
    return {"kind": "judge", "options": {"prompt": judge, "rubric": value, **least}}


_Maker = Callable[[Any, Any, str], dict[str, Any]]
_ASSERTIONS: Final[Mapping[str, _Maker]] = {
    "equals": lambda value, _t, _j: {"kind": "equals", "options": {"value": _text(value)}},
    "contains": _words("contains"),
    "icontains": _words("contains", ignore_case=True),
    "contains-all": _words("contains"),
    "contains-any": _words("contains", any=True),
    "icontains-all": _words("contains", ignore_case=True),
    "icontains-any": _words("contains", any=True, ignore_case=True),
    "not-contains": _words("not_contains"),
    "not-icontains": _words("not_contains", ignore_case=True),
    "regex": lambda value, _t, _j: {"kind": "regex", "options": {"pattern": value}},
    "starts-with": lambda value, _t, _j: {"kind": "regex", "options": {"pattern": rf"\A{re.escape(str(value))}"}},
    "is-json": _json,
    "latency": lambda _v, threshold, _j: {"kind": "latency", "options": {"most_ms": threshold}},
    "cost": lambda _v, threshold, _j: {"kind": "cost", "options": {"most_usd": threshold}},
    "llm-rubric": _rubric,
}
_READERS: Final[Mapping[str, Callable[[str, str], Iterator[Case]]]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "promptfoo": _promptfoo,
}


def _at(line: int, error: Invalid) -> FileInvalid:
    """Return the error about a line of the file, unless it says a place already."""
    return error if isinstance(error, FileInvalid) else refusal(error.detail, line=line, code=error.code)
