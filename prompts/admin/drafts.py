"""Writing the next version: one's own draft kept on the server, and saving it past what others saved meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, acting, link
from promptlab.lib.errors import Conflict, Invalid
from promptlab.templatetags.promptlab import when
from prompts import diff, merging
from prompts.admin.forms import NewVersionForm, parts_of
from prompts.admin.shown import crumbs, page_of, version_label
from prompts.errors import DraftBehind, DraftNotFound, DraftStale
from prompts.models import Draft, Prompt, Version
from prompts.services import drafting

KEEP = "keep"
"""What the button "Keep as draft" sends as `act`."""
TRY = "try"
"""What "Save and try it" sends."""
REVIEW = "review"
"""What "Save and ask for a review" sends."""
MERGE = "merge"
"""What "Put both together" sends, after somebody else saved a version."""
BESIDE = "beside"
"""What "Start from theirs, keep mine beside it" sends then."""


MINE = "beside"
"""Under which name a draft holds the text that somebody put beside another one."""


class DraftPages(HouseAdmin):
    """Part of the prompt's admin, which has their addresses."""

    def draft_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/draft/", self.draft_page, "draft"),
            self.own("<int:pk>/draft/discard/", self.discard_page, "discard"),
        ]

    def written(
        self, request: HttpRequest, prompt: Any, form: NewVersionForm
    ) -> tuple[HttpResponse | None, dict[str, Any]]:
        """Keep or save what was sent. None shows the form again, after a conflict with the context of both texts."""
        acts = {KEEP: self._keep, MERGE: self._merge, BESIDE: self._put_beside}
        act = acts.get(request.POST.get("act", ""), self._save)
        try:
            return act(request, prompt, form), {}
        except (DraftStale, DraftBehind) as conflict:
            return None, _both_texts(form, prompt, conflict)

    def _keep(self, request: HttpRequest, prompt: Any, form: NewVersionForm) -> HttpResponse | None:
        """Keep what was typed, errors and all."""
        form.fields["message"].required = False
        try:
            drafting.keep_draft(acting(request), prompt, form.typed(), **form.read())
        except (Conflict, Invalid) as error:
            form.refuse(error)
            return None
        sentence = gettext("Your draft is kept. Only you see it; nothing was saved as a version.")
        discard = link(self.url("discard", prompt.pk), gettext("Throw it away…"))
        return self.said(request, format_html("{} {}", sentence, discard), self.url("change", prompt.pk))

    def _merge(self, request: HttpRequest, prompt: Any, form: NewVersionForm) -> HttpResponse | None:
        """Put what was typed and what was saved meanwhile together, in the form: nothing is saved yet."""
        base = Version.objects.filter(prompt=prompt, number=form.number("base") or 0).first()
        if base is None or "text" not in form.fields:
            return self._save(request, prompt, form)
        both = merging.merge(base.text, form.typed()["content"], prompt.newest.text)
        told = gettext("Both changes are in the text below. Look it over, then save it.")
        if both.clashes:
            told = ngettext(
                "At %(count)s place both of you changed the same lines: yours stand first. Choose, then save.",
                "At %(count)s places both of you changed the same lines: yours stand first. Choose, then save.",
                both.clashes,
            ) % {"count": both.clashes}
        newest = prompt.newest.number
        form.say_again(told, text=both.text, started_from=newest, base=newest)
        return None

    def _put_beside(self, request: HttpRequest, prompt: Any, form: NewVersionForm) -> HttpResponse | None:
        """Begin again from the newest version, with what was typed kept beside it in the draft."""
        newest, typed = prompt.newest, form.typed()
        text = {"messages": newest.messages} if newest.messages else {"content": newest.text}
        body = {**typed, **text, MINE: diff.readable(_unsaved(newest, typed))}
        try:
            drafting.keep_draft(
                acting(request),
                prompt,
                body,
                row_version=form.number("row_version"),
                started_from=newest.number,
            )
        except (Conflict, Invalid) as error:
            form.refuse(error)
            return None
        told = gettext("You start from v%(number)s. Your own text is kept beside it.") % {"number": newest.number}
        return self.said(request, told, self.url("change", prompt.pk))

    def _save(self, request: HttpRequest, prompt: Any, form: NewVersionForm) -> HttpResponse | None:
        """Save what was typed as the next version; the draft is done with then."""
        if not form.is_valid():
            return None
        filled = form.cleaned_data
        try:
            version, is_new = drafting.publish_draft(
                acting(request),
                prompt,
                body=form.words(like=prompt.newest),
                version_string=filled["version_string"],
                message=filled["message"],
                row_version=filled["row_version"] or 0,
                started_from=filled["started_from"],
                allow_secret=filled.get("allow_secret", ""),
            )
        except (Conflict, Invalid) as error:
            if isinstance(error, DraftBehind):
                raise
            form.refuse(error)
            return None
        names = {"number": version.number}
        same = gettext("This is the same as v%(number)s. Nothing was saved.") % names
        if not is_new and not form.kept:
            form.refuse(Invalid(same))
            return None
        saved = gettext("v%(number)s is saved. What is live did not change.") % names
        return self.said(request, saved if is_new else same, self.after_saving(request, prompt.pk, version.number))

    def after_saving(self, request: HttpRequest, prompt_id: int, number: int) -> str:
        """Return where somebody goes on: where the version is tried or sent to review, if they said so, else editing."""
        act = request.POST.get("act")
        if act == TRY:
            return f"{reverse('admin:chat_conversation_try')}?prompt={prompt_id}&text={number}"
        if act == REVIEW:
            saved = Version.objects.only("pk").get(prompt=prompt_id, number=number)
            return page_of("version_submit", saved.pk)
        return self.url("change", prompt_id)

    def draft_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what one's own draft changes."""
        prompt = self.found(request, pk)
        actor = self.demand(request, self.write_capability, prompt)
        draft = drafting.draft_of(actor, prompt)
        if draft is None:
            raise DraftNotFound(prompt=prompt.title)
        return self.page(
            request,
            "admin/prompts/draft.html",
            title=_("Your draft of %(prompt)s") % {"prompt": prompt.title},
            breadcrumbs=crumbs(prompt),
            prompt_url=self.url("change", prompt.pk),
            **draft_shown(prompt, draft),
            **_compared(prompt.newest, draft.body, gettext("Your draft")),
        )

    def discard_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask before one's own draft is thrown away."""
        prompt = self.found(request, pk)
        actor = self.demand(request, self.write_capability, prompt)
        draft = drafting.draft_of(actor, prompt)

        def discard(filled: dict[str, Any]) -> HttpResponse:
            was_there = drafting.discard_draft(actor, prompt)
            sentence = gettext("Your draft is thrown away.") if was_there else gettext("There was no draft any more.")
            return self.said(request, sentence, self.url("change", prompt.pk))

        if draft is None and request.method != "POST":
            raise DraftNotFound(prompt=prompt.title)
        return self.confirm(
            request,
            discard,
            template="admin/prompts/move.html",
            title=_("Throw away your draft of %(prompt)s") % {"prompt": prompt.title},
            consequences=[
                _("What you typed and did not save as a version is gone for good."),
                _("Versions and what is live stay as they are."),
            ],
            submit_label=_("Throw it away"),
            is_danger=True,
            cancel_url=self.url("change", prompt.pk),
            breadcrumbs=crumbs(prompt),
            **(_compared(prompt.newest, draft.body, gettext("Your draft")) if draft else {}),
        )


def draft_shown(prompt: Prompt, draft: Draft) -> dict[str, Any]:
    """Return since when a draft is kept, where it began, and what was saved since."""
    assert prompt.newest is not None
    newest, begun = prompt.newest.number, draft.started_from
    behind = gettext("v%(newest)s was saved since you began at v%(begun)s.") % {"newest": newest, "begun": begun}
    return {
        "draft_since": when(draft.updated_at),
        "draft_begun": begun,
        "draft_behind": behind if newest > begun else "",
        "draft_beside": str(draft.body.get(MINE, "")),
        "draft_urls": {
            "compare": f"{page_of('prompt_compare', prompt.pk)}?a={begun}&b={newest}",
            "shown": page_of("prompt_draft", prompt.pk),
            "discard": page_of("prompt_discard", prompt.pk),
        },
    }


def _both_texts(form: NewVersionForm, prompt: Any, conflict: DraftStale | DraftBehind) -> dict[str, Any]:
    """Return the context that shows both texts; sending the form again saves the typed one."""
    newest: Version = Version.objects.select_related("prompt").get(pk=Prompt.objects.get(pk=prompt.pk).newest_id)
    mine = form.typed()
    if isinstance(conflict, DraftBehind):
        sentence = gettext("%(who)s saved v%(number)s while you were writing. Your text is below, nothing is lost.")
        names = {"who": newest.author_label, "number": newest.number}
        begun = form.data.get("base") or conflict.data["started_from"]
        form.say_again(sentence % names, started_from=newest.number, base=begun)
        is_text = "text" in form.fields
        return {
            "newest": newest,
            "others": newest,
            "may_merge": is_text,
            **_compared(newest, mine, gettext("Your text")),
        }
    kept, row_version = conflict.data["newest"], conflict.data["row_version"]
    if kept is None:
        form.say_again(gettext("Your draft was saved or thrown away in another window."), row_version=0)
        return {"newest": newest, **_compared(newest, mine, gettext("Your text"))}
    form.say_again(gettext("You kept another draft in another window. Both are below."), row_version=row_version)
    was = _unsaved(newest, kept)
    compared = _compared(was, mine, gettext("Your text"))
    return {"newest": newest, **compared, "old_label": gettext("The draft that is kept")}


def _compared(old: Version, body: Mapping[str, Any], label: str) -> dict[str, Any]:
    return {
        "diff": diff.lines(diff.readable(old), diff.readable(_unsaved(old, body))),
        "old_label": version_label(old),
        "new_label": label,
    }


def _unsaved(like: Version, body: Mapping[str, Any]) -> Version:
    """Return a draft's words as a version to look at; what it leaves out is taken from `like`."""
    keeps_text = "content" not in body and "messages" not in body
    return Version(
        prompt=like.prompt,
        number=like.number,
        text=like.text if keeps_text else str(body.get("content", "")),
        messages=like.messages if keeps_text else parts_of(body.get("messages", [])),
    )
