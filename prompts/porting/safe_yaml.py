"""YAML that holds what JSON holds, and nothing else: read with limits and line numbers, written the same way every time.

A YAML reader of the usual kind turns `no` into false, `1:30` into 90, a date into an object, takes a key twice, and lets
a file of 300 bytes unfold to gigabytes through aliases. None of that here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from promptlab.lib import jsonbody
from promptlab.lib.errors import FieldProblem, Invalid
from prompts.errors import FileInvalid, FileTooLarge

MAX_BYTES = 5_000_000
MAX_DEPTH = 32
MAX_VALUES = 100_000
"""Beyond this a file takes seconds, whatever its size."""
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)\Z")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?\Z")
_WORDS = {"": None, "null": None, "true": True, "false": False}
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./()-]+)*\Z")
_READ_ELSEWHERE = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n"])
_NOT_IN_BLOCKS = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010fffd]")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\U0010fffe\U0010ffff]")
_LONGEST_KEY = 500
# A text that is not closed goes to the end: or each quote in it would be tried as a beginning.
_JSON_MARK = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[,\[{]', re.S)


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds, and the line on which each value stands, by path (`prompts.0.name`)."""

    value: Any
    lines: Mapping[str, int] = field(default_factory=dict)

    def problem(self, path: str, sentence: str) -> FileInvalid:
        """Return the error that names the place, as exactly as it is known."""
        return refusal(sentence, line=self.line(path), path=path)

    def place(self, path: str) -> str:
        """Return the place in words: `line 7`, or the path in a file without lines."""
        line = self.line(path)
        return f"line {line}" if line else path or "the top"

    def line(self, path: str) -> int:
        """Return the line of the value, or of the nearest thing around it; 0 in a file without lines."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path, 0)


def refusal(sentence: str, *, line: int = 0, path: str = "", code: str = "file_invalid") -> FileInvalid:
    """Return the error about one place of a file."""
    where = [f"line {line}"] if line else []
    where += [path] if path else []
    detail = f"{', '.join(where)}: {sentence}" if where else sentence
    shown = detail[0].upper() + detail[1:] if line else detail
    return FileInvalid(shown, code=code, problems=[FieldProblem(path or (f"line {line}" if line else ""), shown, code)])


def decode(data: bytes) -> str:
    """Return the text of a file. Raises FileTooLarge, FileInvalid when it is not UTF-8, naming the line."""
    if len(data) > MAX_BYTES:
        raise FileTooLarge(limit=MAX_BYTES)
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refusal(f"byte {error.start} is not UTF-8. Save the file as UTF-8.", line=line) from error


def load(text: str, *, first_line: int = 1) -> Document:
    """Return what the YAML says. Raises FileInvalid with the line; `first_line` is where the text stands in its file."""
    reader = _Reader(first_line)
    try:
        value = reader.document(yaml.parse(text, Loader=_PARSER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + first_line if mark else first_line
        raise refusal(f"this is not YAML: {error.problem or error.context}.", line=line) from error
    except yaml.YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0) or 0) + first_line
        raise refusal("this is not YAML: it holds a character that is not allowed.", line=line) from error
    return Document(value, reader.lines)


def load_json(text: str) -> Document:
    """Return what the JSON says. Raises FileInvalid naming the path."""
    if _has_too_many(text):
        raise refusal(f"the file holds more than {MAX_VALUES} values.")
    try:
        return Document(jsonbody.loads(text.encode()))
    except Invalid as error:
        path = error.problems[0].field if error.problems else ""
        raise refusal(error.detail, path=path, code=error.code) from error


def _has_too_many(text: str) -> bool:
    """Tell whether a JSON text holds more values than we look at, without making any of them."""
    count = 0
    for found in _JSON_MARK.finditer(text):
        count += found[0] in ",[{"
        if count > MAX_VALUES:
            return True
    return False


class _Reader:
    """Builds values from the parser's events; each event is looked at before anything is made of it."""

    def __init__(self, first_line: int) -> None:
        self.first_line = first_line
        self.lines: dict[str, int] = {}
        self.count = 0
        self.events: Iterator[Any] = iter(())

    def document(self, events: Iterator[Any]) -> Any:
        self.events = events
        found, value = False, None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found:
                    raise refusal("a second document begins here. Put one in each file.", line=self.at(event))
                found, value = True, self.value(next(events), "", 0)
        return value

    def at(self, event: Any) -> int:
        line: int = event.start_mark.line
        return line + self.first_line

    def value(self, event: Any, path: str, depth: int) -> Any:
        line = self.at(event)
        self.lines.setdefault(path, line)
        self.count += 1
        if self.count > MAX_VALUES:
            raise refusal(f"the file holds more than {MAX_VALUES} values.", line=line)
        if isinstance(event, yaml.AliasEvent):
            raise refusal("aliases (*name) are not allowed.", line=line, path=path)
        if event.anchor is not None:
            raise refusal("anchors (&name) are not allowed.", line=line, path=path)
        if event.tag is not None:
            raise refusal("tags (!name) are not allowed.", line=line, path=path)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, path)
        if depth >= MAX_DEPTH:
            raise refusal(f"this is nested deeper than {MAX_DEPTH} levels.", line=line, code="too_deep")
        return self.mapping(path, depth) if isinstance(event, yaml.MappingStartEvent) else self.sequence(path, depth)

    def sequence(self, path: str, depth: int) -> list[Any]:
        items: list[Any] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self.value(event, f"{path}.{len(items)}" if path else str(len(items)), depth + 1))
        return items

    def mapping(self, path: str, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key, line = self.key(event, path), self.at(event)
            if key in items:
                raise refusal(f'the key "{key[:50]}" is given twice.', line=line, path=path)
            inside = f"{path}.{key}" if path else key
            self.lines[inside] = line
            items[key] = self.value(next(self.events), inside, depth + 1)
        return items

    def key(self, event: Any, path: str) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
            raise refusal("a key is a plain word: no list, alias, anchor or tag.", line=self.at(event), path=path)
        return self.text(event, path)

    def scalar(self, event: Any, path: str) -> Any:
        raw = event.value
        if event.style:
            return self.text(event, path)
        if raw in _WORDS:
            return _WORDS[raw]
        if not _NUMBER.match(raw):
            return self.text(event, path)
        try:
            value = int(raw) if _WHOLE.match(raw) else float(raw)
        except ValueError as error:
            raise refusal("this number is too long.", line=self.at(event), path=path) from error
        if not math.isfinite(value):
            raise refusal("this number is too large.", line=self.at(event), path=path)
        return value

    def text(self, event: Any, path: str) -> str:
        value: str = event.value
        try:
            jsonbody.check_text(value, path)
        except Invalid as error:
            raise refusal(error.detail, line=self.at(event), path=path, code=error.code) from error
        return value


def dump(value: Any) -> str:
    """Return the YAML of a JSON value: keys sorted, long texts as blocks, LF, a final newline, no anchors and no tags."""
    lines: list[str] = []
    _write(value, "", "", lines)
    return "\n".join(lines) + "\n"


def dump_json(value: Any) -> str:
    """Return the JSON of a value: keys sorted, indented, a final newline."""
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _write(value: Any, lead: str, pad: str, lines: list[str]) -> None:
    """Append the lines of a value. `lead` is what stands before it on its first line, `pad` indents what follows."""
    if isinstance(value, Mapping) and value:
        for key in sorted(value):
            _write_item(value[key], f"{lead}{_key(key, pad)}:", pad, lines)
            lead = pad
    elif isinstance(value, list | tuple) and value:
        for item in value:
            _write(item, f"{lead}- ", f"{pad}  ", lines)
            lead = pad
    else:
        lines += _scalar(value, lead, pad)


def _write_item(value: Any, lead: str, pad: str, lines: list[str]) -> None:
    if isinstance(value, Mapping) and value:
        lines.append(lead)
        _write(value, f"{pad}  ", f"{pad}  ", lines)
    elif isinstance(value, list | tuple) and value:
        lines.append(lead)
        _write(value, pad, pad, lines)
    else:
        lines += _scalar(value, f"{lead} ", f"{pad}  ")


def _key(key: str, pad: str) -> str:
    written = _quoted(key)
    # A longer one is no key to a YAML reader unless it is marked as one.
    return written if len(written) <= _LONGEST_KEY else f"? {written}\n{pad}"


def _scalar(value: Any, lead: str, pad: str) -> list[str]:
    if isinstance(value, str):
        return _block(value, lead, pad) if _is_block(value) else [lead + _quoted(value)]
    if isinstance(value, float):
        written = repr(value)
        # Readers of YAML 1.1 take 1e-07 for a word.
        return [lead + (written.replace("e", ".0e") if "e" in written and "." not in written else written)]
    return [lead + json.dumps(value)]


def _is_block(text: str) -> bool:
    """Tell whether a text survives as a block, also an editor that trims the ends of lines."""
    if "\n" not in text or text[0].isspace() or _NOT_IN_BLOCKS.search(text):
        return False
    return not any(line and line[-1].isspace() for line in text.split("\n"))


def _block(text: str, lead: str, pad: str) -> list[str]:
    ends = len(text) - len(text.rstrip("\n"))
    body = text.split("\n")[: -1 if ends else None]
    inner = pad or "  "
    return [lead + ("|-", "|")[ends] if ends < 2 else lead + "|+", *(inner + line if line else "" for line in body)]


def _quoted(text: str) -> str:
    if _PLAIN.match(text) and text.lower() not in _READ_ELSEWHERE:
        return text
    return _ESCAPED.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"
