"""A person with a browser and no JavaScript: opens pages, fills forms by their labels, presses buttons by their words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx


@dataclass
class Form:
    """One form on a page, as a browser would send it. `labels` maps a label's words to a field's name."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    options: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)

    def has_button(self, words: str) -> bool:
        return any(words.lower() in text.lower() for text, _, _ in self.buttons)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.labels: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.text: list[str] = []
        self._form: Form | None = None
        self._collect: list[str] | None = None
        self._open: dict[str, str] = {}
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(at.get("action", ""), at.get("method", "get").lower())
            self.forms.append(self._form)
        if tag in ("label", "a", "button", "textarea", "option"):
            self._collect, self._open = [], at
        if "id" in at and "name" in at:
            self.ids[at["id"]] = at["name"]
        if self._form is None:
            return
        if tag == "input":
            self._input(at)
        elif tag == "select":
            self._select = at.get("name", "")
            self._form.options[self._select] = []

    def _input(self, at: dict[str, str]) -> None:
        assert self._form is not None
        kind, name = at.get("type", "text"), at.get("name", "")
        if kind in ("submit", "button"):
            self._form.buttons.append((at.get("value", ""), name, at.get("value", "")))
        elif kind in ("checkbox", "radio"):
            self._form.options.setdefault(name, []).append((at.get("value", "on"), at.get("value", "on")))
            if "checked" in at:
                self._form.fields.append((name, at.get("value", "on")))
        elif name and kind not in ("file", "image"):
            self._form.fields.append((name, at.get("value", "")))

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._collect is not None:
            self._collect.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        if tag not in ("label", "a", "button", "textarea", "option") or self._collect is None:
            return
        raw = "".join(self._collect)
        words, at, self._collect = " ".join(raw.split()), self._open, None
        if tag == "label":
            self.labels[words.rstrip(": *")] = at.get("for", "")
        elif tag == "a":
            self.links.append((words, at.get("href", "")))
        elif self._form is not None:
            self._in_form(tag, words, raw, at)

    def _in_form(self, tag: str, words: str, raw: str, at: dict[str, str]) -> None:
        assert self._form is not None
        if tag == "button" and at.get("type", "submit") == "submit":
            self._form.buttons.append((words, at.get("name", ""), at.get("value", "")))
        elif tag == "textarea":
            self._form.fields.append((at.get("name", ""), raw.removeprefix("\r\n").removeprefix("\n")))
        elif tag == "option":
            self._form.options[self._select].append((at.get("value", words), words))
            if "selected" in at:
                self._form.fields.append((self._select, at.get("value", words)))


class Browser:
    """One person's session. After every step `page` is the text of what they see and `url` where they are."""

    def __init__(self, base: str) -> None:
        self.client = httpx.Client(base_url=base, follow_redirects=True, timeout=30)
        self.url = ""
        self.html = ""

    def open(self, path: str) -> Browser:
        return self._see(self.client.get(path))

    def _see(self, response: httpx.Response) -> Browser:
        assert response.status_code < 400, (
            f"{response.status_code} at {response.url}: {self._words(response.text)[:600]}"
        )
        self.url, self.html = str(response.url), response.text
        return self

    @staticmethod
    def _words(html: str) -> str:
        parser = _Parser()
        parser.feed(re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.S))
        return " ".join("".join(parser.text).split())

    @property
    def page(self) -> str:
        """The words on the page."""
        return self._words(self.html)

    def _parsed(self) -> _Parser:
        parser = _Parser()
        parser.feed(self.html)
        return parser

    def follow(self, words: str) -> Browser:
        """Press the first link that says `words`."""
        links = self._parsed().links
        for text, href in links:
            if words.lower() in text.lower():
                return self.open(urljoin(self.url, href))
        raise AssertionError(f"No link says {words!r} at {self.url}. Links: {[text for text, _ in links]}")

    def press(self, button: str, **by_label: str) -> Browser:
        """Fill the form that has this button and press it. Fields are named by their label's words or by name."""
        parsed = self._parsed()
        form = next((form for form in parsed.forms if form.has_button(button)), None)
        assert form is not None, f"No button says {button!r} at {self.url}: {[form.buttons for form in parsed.forms]}"
        data = list(form.fields)
        for label, value in by_label.items():
            name = self._field(parsed, form, label)
            data = [pair for pair in data if pair[0] != name] + [(name, self._choice(form, name, value))]
        _, name, value = next(found for found in form.buttons if button.lower() in found[0].lower())
        if name:
            data.append((name, value))
        target = urljoin(self.url, form.action or self.url)
        if form.method == "get":
            return self._see(self.client.get(target, params=data))
        pairs: dict[str, list[str]] = {}
        for key, one in data:
            pairs.setdefault(key, []).append(one)
        return self._see(self.client.post(target, data=pairs, headers={"Referer": self.url}))

    @staticmethod
    def _field(parsed: _Parser, form: Form, label: str) -> str:
        names = {name for name, _ in form.fields} | set(form.options)
        if label in names:
            return label
        wanted = label.replace("_", " ").lower()
        for words, target in parsed.labels.items():
            if words.lower().startswith(wanted) and parsed.ids.get(target, target) in names:
                return parsed.ids.get(target, target)
        raise AssertionError(f"No field is labelled {label!r}. Labels: {parsed.labels}; fields: {sorted(names)}")

    @staticmethod
    def _choice(form: Form, name: str, value: str) -> str:
        for option, words in form.options.get(name, []):
            if value in (option, words) or words.lower().startswith(value.lower()):
                return option
        return value
