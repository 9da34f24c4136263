"""Files with YAML between two `---` lines and a text after them: what dotprompt and prompty share."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import MUSTACHE_LITE, Content

from prompts.porting.safe_yaml import Document, dump, load, refusal

MAX_MARKS = 1000
SAID_OF_VARIABLES = frozenset(["type", "required", "description", "default"])
_FENCE = re.compile(r"---[ \t]*\r?\n")
_END = re.compile(r"^---[ \t]*(\r?\n|\Z)", re.M)


@dataclass(frozen=True, slots=True)
class Split:
    """The YAML in front, and the text with the line of the file on which it begins."""

    front: Document
    body: str
    first_line: int

    def line(self, index: int) -> int:
        """Return the line of the file on which a character of the body stands."""
        return self.first_line + self.body.count("\n", 0, index)

    def check_count(self, marks: int) -> None:
        """Raise FileInvalid when a body is cut into more messages than a prompt has."""
        if marks > MAX_MARKS:
            raise refusal(f"more than {MAX_MARKS} messages follow.", line=self.first_line)

    def check(self, text: str, index: int) -> None:
        """Raise FileInvalid when a part of the body is not a template of ours; `index` is where it begins."""
        try:
            template.parse(text)
        except template.TemplateSyntaxError as error:
            sentence = f"{error.message} Only plain blanks such as {{{{name}}}} can be imported."
            raise refusal(sentence, line=self.line(index) + error.line - 1, code="template_syntax") from error


def split(text: str) -> Split:
    """Return the parts of a file. Without a first `---` line everything is text. Raises FileInvalid."""
    start = _FENCE.match(text)
    if start is None:
        return Split(Document({}), text, 1)
    end = _END.search(text, start.end())
    if end is None:
        raise refusal("the lines between the first --- and the text end with another ---.", line=1)
    front = load(text[start.end() : end.start()], first_line=2)
    if front.value is None:
        front = Document({}, front.lines)
    return Split(front, text[end.end() :], text.count("\n", 0, end.end()) + 1)


def join(front: dict[str, object], body: str) -> str:
    """Return the file."""
    return f"---\n{dump(front)}---\n{body}" if front else f"---\n---\n{body}"


def unsaid(content: Content, kinds: Collection[str]) -> str:
    """Return what of a content these files have no words for, the first thing; empty when they can say everything.

    `kinds` are the types of variables that the format knows.
    """
    if content.syntax != MUSTACHE_LITE:
        return f"the format has no {content.syntax} that can be read again"
    beside = {"output_schema": content.output_schema, "stop": content.stop, "tools": content.tools}
    beside["model_texts"] = content.model_texts
    for name, value in beside.items():
        if value:
            return f"the format has no {name}"
    for name, spec in content.variables.items():
        if spec.get("type", "string") not in kinds:
            return f"the format has no variables of the type {spec['type']}, as {name} is"
        if more := sorted(spec.keys() - SAID_OF_VARIABLES):
            return f"the format has no {more[0]} of variables, as {name} has"
    return ""
