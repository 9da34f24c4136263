"""docs/statistics.md as a page, so that every number can lead to its line."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

SOURCE = Path(settings.BASE_DIR) / "docs" / "statistics.md"
ANCHOR = re.compile(r'<a id="([a-z-]+)"></a>')
INLINE = (
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\*([^*]+)\*"), r"<em>\1</em>"),
    (re.compile(r"\[([^\]]+)\]\((#[a-z-]+)\)"), r'<a href="\2">\1</a>'),
)


@require_safe
def method(request: HttpRequest) -> HttpResponse:
    """How every number is computed. Nobody has to sign in: it says nothing of anybody."""
    return render(request, "experiments/method.html", {"body": _body()})


@lru_cache(maxsize=1)
def _body() -> SafeString:
    try:
        text = SOURCE.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Http404 from error
    return SafeString(
        "\n".join(_block(block) for block in re.split(r"\n{2,}", text.strip()) if not block.startswith("# "))
    )


def _block(block: str) -> str:
    """Return one block as HTML: a heading, a table, a list, or a paragraph."""
    if block.startswith("## "):
        return format_html("<h2>{}</h2>", block[3:])
    lines = block.splitlines()
    table = next((i for i, line in enumerate(lines) if line.startswith("|")), None)
    if table is not None:
        return "".join([_paragraph(lines[:table]), _table(lines[table:])])
    if block.startswith("- "):
        items = re.split(r"\n- ", block[2:])
        return f"<ul>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</ul>"
    return _paragraph(lines)


def _paragraph(lines: list[str]) -> str:
    text = " ".join(lines)
    if not text:
        return ""
    found = ANCHOR.match(text)
    anchor = f' id="{found[1]}"' if found else ""
    return f"<p{anchor}>{_inline(ANCHOR.sub('', text))}</p>"


def _table(lines: list[str]) -> str:
    head, _rule, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    heads = "".join(f'<th scope="col">{_inline(cell)}</th>' if cell else "<td></td>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>" for row in rows)
    table = f'<table class="list"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(", ".join(filter(None, head)))}">{table}</div>'


def _inline(text: str) -> str:
    plain_and_code = re.split(r"`([^`]+)`", escape(text))
    return "".join(f"<code>{part}</code>" if i % 2 else _marked(part) for i, part in enumerate(plain_and_code))


def _marked(text: str) -> str:
    for pattern, html in INLINE:
        text = pattern.sub(html, text)
    return text
