"""The discussion of a prompt: threads on it, on its versions and on lines of them, with answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseForm, acting, asks, link, sent
from prompts import diff, resolve
from prompts.admin.section import SectionPages, section
from prompts.admin.shown import crumbs, page_of, version_label
from prompts.errors import CommentNotFound
from prompts.models import Comment, Prompt, Version
from prompts.services import commenting

MOST_THREADS = 100
MOST_LINES = 500
LONGEST_QUOTE = 80


class WordsForm(HouseForm):
    """What somebody writes."""

    named = {"text": "comment"}
    comment = forms.CharField(
        label=_("Comment"),
        max_length=commenting.LONGEST,
        widget=forms.Textarea(attrs={"rows": 4}),
        error_messages=asks(_("Write something.")),
    )


class CommentForm(WordsForm):
    """A new thread: about the prompt, a version of it, or a line of that version."""

    version = forms.TypedChoiceField(label=_("About"), coerce=int, empty_value=None, required=False)
    line = forms.IntegerField(
        label=_("Line"), min_value=1, required=False, help_text=_("Without it, about the whole version.")
    )
    field_order = ["version", "line", "comment"]

    def __init__(self, *args: Any, numbers: Iterable[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", _("The prompt as a whole")), *((number, f"v{number}") for number in numbers)]
        self.fields["version"].choices = choices  # type: ignore[attr-defined]


class DiscussionPages(SectionPages):
    """Part of the prompt's admin, which has their addresses."""

    def discussion_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/discussion/", self.discussion_page, "discussion"),
            self.own("<int:pk>/discussion/<int:comment>/", self.thread_page, "thread"),
        ]

    def discussion_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the threads of a prompt or a version, and that version's lines; a POST begins a thread."""
        prompt = self.opened(request, pk)
        if request.method == "POST":
            self.demand(request, "prompt.comment", prompt)
        version = resolve.version_of(prompt, request.GET["version"]) if request.GET.get("version") else None
        numbers = list(Version.objects.filter(prompt=prompt).newest_first().values_list("number", flat=True))
        about = {"version": version.number if version else "", "line": request.GET.get("line", "")}
        form = CommentForm(sent(request), numbers=numbers, initial=about)

        def write(filled: dict[str, Any]) -> HttpResponse:
            chosen = resolve.version_of(prompt, str(filled["version"])) if filled["version"] else None
            made = commenting.add_comment(
                acting(request), prompt, filled["comment"], version=chosen, line=filled["line"]
            )
            return self.said(request, gettext("Your comment is there."), _at(made))

        rows = Comment.objects.filter(prompt=prompt) if version is None else Comment.objects.filter(version=version)
        shows_all = request.GET.get("show") == "all"
        return self.submitted(request, form, write) or self.page(
            request,
            "admin/prompts/discussion.html",
            form=form,
            version=version,
            version_label=version_label(version) if version else "",
            lines=_lines(version),
            threads=threads(acting(request), rows if shows_all else rows.filter(pk__in=_of_open(rows)), prompt),
            filters=_filters(prompt, version, shows_all),
            **section(acting(request), prompt, "discussion"),
            **self._people(request, prompt),
        )

    def _people(self, request: HttpRequest, prompt: Prompt) -> dict[str, Any]:
        """Return whether the person comments, and whom they can name."""
        may_comment = self.may(request, "prompt.comment", prompt)
        return {"may_comment": may_comment, "people": commenting.nameable(prompt.team_id) if may_comment else []}

    def thread_page(self, request: HttpRequest, pk: int, comment: int) -> HttpResponse:
        """Ask before an act on a comment; a POST answers it, changes its words, settles it or opens it again."""
        prompt = self.opened(request, pk)
        actor = self.demand(request, "prompt.comment", prompt)
        one = Comment.objects.filter(pk=comment, prompt=prompt).select_related("prompt", "version").first()
        if one is None:
            raise CommentNotFound
        asked = (request.POST if request.method == "POST" else request.GET).get("act", "")
        act = asked if asked in ACTS else "reply"
        initial = {"comment": one.text if act == "edit" else ""}
        form = WordsForm(sent(request), initial=initial) if act in ("reply", "edit") else HouseForm(sent(request))

        def do(filled: dict[str, Any]) -> HttpResponse:
            done = ACTS[act](actor, one, *([filled["comment"]] if "comment" in filled else []))
            sentence = DONE[act] % {"who": one.author_label}
            undo = {"settle": "reopen", "reopen": "settle"}.get(act)
            if undo:
                url = f"{page_of('prompt_thread', prompt.pk, one.pk)}?act={undo}"
                sentence = format_html("{} {}", sentence, link(url, gettext("Undo")))
            return self.said(request, sentence, _at(done))

        return self.confirm(
            request,
            do,
            form=form,
            template="admin/prompts/thread.html",
            title=TITLES[act] % {"who": one.author_label},
            verb=act,
            lead=one.text,
            submit_label=LABELS[act],
            cancel_url=_at(one),
            breadcrumbs=[*crumbs(prompt), {"label": _("Discussion"), "url": page_of("prompt_discussion", prompt.pk)}],
            **self._people(request, prompt),
        )


ACTS: dict[str, Any] = {
    "reply": commenting.reply,
    "edit": commenting.edit_comment,
    "settle": commenting.resolve_comment,
    "reopen": commenting.reopen_comment,
}
TITLES: dict[str, Any] = {
    "reply": _("Answer %(who)s"),
    "edit": _("Change your comment"),
    "settle": _("Settle what %(who)s began"),
    "reopen": _("Open again what %(who)s began"),
}
LABELS: dict[str, Any] = {
    "reply": pgettext_lazy("button", "Answer"),
    "edit": _("Save"),
    "settle": _("Settle"),
    "reopen": _("Open again"),
}
DONE: dict[str, Any] = {
    "reply": _("Your answer is there."),
    "edit": _("Your comment is changed."),
    "settle": _("What %(who)s began is settled."),
    "reopen": _("What %(who)s began is open again."),
}


def threads(actor: Principal, comments: Any, prompt: Prompt) -> list[dict[str, Any]]:
    """Return the threads of these comments, the latest begun first, ready to be shown: three queries at most."""
    rows = list(comments.filter(parent=None).with_names().order_by("-id")[:MOST_THREADS])
    answers: dict[int, list[Comment]] = {}
    for row in Comment.objects.filter(parent__in=[root.pk for root in rows]).order_by("id") if rows else ():
        answers.setdefault(row.parent_id or 0, []).append(row)
    may = actor.may("prompt.comment", prompt.team_id)
    return [
        {
            **_shown(actor, root, may, prompt),
            "about": _about(root),
            "answers": [_shown(actor, one, may, prompt) for one in answers.get(root.pk, [])],
            "is_settled": root.resolved_at is not None,
            "may_comment": may,
        }
        for root in rows
    ]


def _shown(actor: Principal, comment: Comment, may: bool, prompt: Prompt) -> dict[str, Any]:
    return {
        "comment": comment,
        "url": page_of("prompt_thread", prompt.pk, comment.pk),
        "is_editable": may and commenting.is_editable(comment, actor),
    }


def _about(root: Comment) -> dict[str, Any] | None:
    """Return what a thread is about: a link to the version or its line, with the line's words; None: the prompt."""
    if root.version is None:
        return None
    label, query = version_label(root.version), {"version": root.version.number}
    quote = ""
    if root.line:
        label = gettext("%(version)s, line %(line)s") % {"version": label, "line": root.line}
        query["line"] = root.line
        lines = diff.readable(root.version).splitlines()
        quote = lines[root.line - 1][:LONGEST_QUOTE] if root.line <= len(lines) else ""
    url = f"{page_of('prompt_discussion', root.prompt_id)}?{urlencode(query)}"
    return {"label": label, "url": f"{url}#line-{root.line}" if root.line else url, "quote": quote}


def _lines(version: Version | None) -> list[dict[str, Any]]:
    """Return the lines of a version, each with how many open threads stand at it and where one is begun."""
    if version is None:
        return []
    rows = Comment.objects.filter(version=version, line__isnull=False).open()
    counts = Counter(rows.values_list("line", flat=True))
    return [
        {
            "number": number,
            "text": text,
            "count": counts[number],
            "url": f"?{urlencode({'version': version.number, 'line': number})}#write",
        }
        for number, text in enumerate(diff.readable(version).splitlines()[:MOST_LINES], 1)
    ]


def _of_open(rows: Any) -> Any:
    return rows.open().values("pk")


def _filters(prompt: Prompt, version: Version | None, shows_all: bool) -> list[dict[str, Any]]:
    """Return the ways to show more or less: open or all, of this version or of every one."""
    kept: dict[str, Any] = {"version": version.number} if version else {}
    here = page_of("prompt_discussion", prompt.pk)
    found = [
        {"label": _("Open"), "url": f"{here}?{urlencode(kept)}", "is_current": not shows_all},
        {"label": _("All"), "url": f"{here}?{urlencode({**kept, 'show': 'all'})}", "is_current": shows_all},
    ]
    if version:
        found.append({"label": _("Of every version"), "url": here, "is_current": False})
    return found


def _at(comment: Comment) -> str:
    """Return where a comment stands: among all, because it may be settled."""
    return f"{page_of('prompt_discussion', comment.prompt_id)}?show=all#comment-{comment.pk}"
