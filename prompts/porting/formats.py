"""Every format by its name: which one a file is in, reading it, and writing it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from prompts.errors import CannotExport
from prompts.porting import bundle, dotprompt, langfuse, prompt_yml, prompty
from prompts.porting.bundle import Bundle, BundledPrompt, BundledVersion
from prompts.porting.safe_yaml import Document, decode, load, load_json, refusal

READABLE = ("auto", "yaml", "json", "prompt.yml", "langfuse", "dotprompt", "prompty")
WRITABLE = READABLE[1:]
SUFFIXES = {
    ".prompt.yml": "prompt.yml",
    ".prompt.yaml": "prompt.yml",
    ".prompty": "prompty",
    ".prompt": "dotprompt",
    ".yaml": "auto",
    ".yml": "auto",
    ".json": "auto",
}
_KINDS = {"yaml": "application/yaml", "json": "application/json", "langfuse": "application/json"}
_ENDINGS = {"langfuse": "json", "dotprompt": "prompt"}
_FILE_OF: dict[str, Callable[[BundledPrompt, BundledVersion], str]] = {
    "prompt.yml": prompt_yml.dump_prompt,
    "dotprompt": dotprompt.dump_prompt,
    "prompty": prompty.dump_prompt,
}
_PROMPTY = re.compile(
    r"^(template|inputs|authors|sample):|^[ \t]*(?:#[ \t]*)?(system|user|assistant):[ \t]*\r?$", re.I | re.M
)


def read(data: bytes, format: str = "auto", *, name: str = "") -> Bundle:
    """Return the prompts in a file. `name` is for formats that may leave it out: the name of the file.

    Raises FileTooLarge, FileInvalid naming the place.
    """
    text = decode(data)
    if not text.strip():
        raise refusal("the file is empty.", line=1)
    if format == "prompty" or (format == "auto" and text.startswith("---") and _PROMPTY.search(text)):
        return prompty.load(text, name=name)
    if format == "dotprompt" or (format == "auto" and _has_front(text)):
        return dotprompt.load(text, name=name)
    is_json = format in ("json", "langfuse") or (format == "auto" and text.lstrip()[0] in "{[")
    return _from(load_json(text) if is_json else load(text), format, name)


def write(bundle: Bundle, format: str) -> str:
    """Return the file. The formats for one prompt take its newest version. Raises CannotExport."""
    if format == "yaml":
        return bundle.to_yaml()
    if format == "json":
        return bundle.to_json()
    if format == "langfuse":
        return langfuse.dump(bundle)
    if len(bundle.prompts) != 1:
        sentence = f"A file in the format {format} holds one prompt, not {len(bundle.prompts)}. Name one."
        raise CannotExport.field("names", sentence, code=CannotExport.code)
    prompt = bundle.prompts[0]
    return _FILE_OF[format](prompt, prompt.versions[-1])


def content_type(format: str) -> str:
    """Return what HTTP calls a file in the format."""
    return f"{_KINDS.get(format, 'text/plain')}; charset=utf-8"


def file_name(format: str) -> str:
    """Return a name for a downloaded file."""
    return f"prompts.{_ENDINGS.get(format, format)}"


def _has_front(text: str) -> bool:
    return bool(re.match(r"---[ \t]*\r?\n", text) and re.search(r"\n---[ \t]*(\r?\n|\Z)", text))


def _from(document: Document, format: str, name: str) -> Bundle:
    value: Any = document.value
    if format == "langfuse" or isinstance(value, list):
        return langfuse.from_document(document, name)
    if not isinstance(value, dict):
        raise document.problem("", "this is no file of prompts: it has no keys.")
    if format == "prompt.yml" or ("messages" in value and "promptlab" not in value):
        return prompt_yml.from_document(document, name)
    if "prompt" in value and "promptlab" not in value:
        return langfuse.from_document(document, name)
    return bundle.from_document(document)
