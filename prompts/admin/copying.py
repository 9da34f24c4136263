"""Copies and names: a prompt of its own out of a version, an older text as the newest, another short name."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, asks, link, sent
from prompts.admin.shown import crumbs, difference, page_of, version_label
from prompts.models import DeploymentEvent, Prompt, PromptAlias, Version
from prompts.services import authoring, naming

PLAIN = {"autocapitalize": "none", "spellcheck": "false"}
LONGEST_NAME = 255


class ShortNameForm(HouseForm):
    """A short name that developers use."""

    named = {"name_taken": "name"}
    name = forms.CharField(
        label=_("Short name"),
        max_length=LONGEST_NAME,
        help_text=_("Developers use this name."),
        widget=forms.TextInput(attrs=PLAIN),
        error_messages=asks(_("Give it a short name.")),
    )


class CopyForm(ShortNameForm):
    """What a copy is called; it is asked for, so that sending the page twice makes one copy."""

    title = forms.CharField(label=_("Title"), max_length=200, error_messages=asks(_("Give the prompt a title.")))
    field_order = ["title", "name"]


class CopyPages(HouseAdmin):
    """Part of the versions' admin, which has their addresses."""

    def copy_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/copy/", self.copy_page, "copy"),
            self.own("<int:pk>/revert/", self.revert_page, "revert"),
        ]

    def copy_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask what a copy is called; a POST makes a prompt whose version 1 says what this version says."""
        version = self.found(request, pk)
        actor = self.demand(request, "prompt.write", version)
        prompt = version.prompt
        title = gettext("Copy of %(title)s") % {"title": prompt.title}
        initial = {"title": title[:200], "name": f"{prompt.name[: LONGEST_NAME - 5]}-copy"}
        form = CopyForm(sent(request), initial=initial)

        def copy(filled: dict[str, Any]) -> HttpResponse:
            made = authoring.fork_prompt(actor, version, filled["title"], filled["name"])
            undo = link(page_of("prompt_archive", made.pk), gettext("Undo (archive the copy)"))
            sentence = gettext("%(title)s is a prompt of its own now. It is not live yet.") % {"title": made.title}
            return self.said(request, format_html("{} {}", sentence, undo), page_of("prompt_change", made.pk))

        names = {"version": f"{prompt.title} {version_label(version)}"}
        return self.confirm(
            request,
            copy,
            form=form,
            template="admin/prompts/move.html",
            title=_("Copy %(version)s as a new prompt") % names,
            consequences=[
                _("The copy begins with this text as its version 1, in the same collection and with the same tags."),
                _("Nothing goes live, and the two change apart from each other."),
            ],
            submit_label=_("Make the copy"),
            cancel_url=page_of("version_change", version.pk),
            breadcrumbs=crumbs(prompt),
        )

    def revert_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what going back to this text changes; a POST saves it as the newest version."""
        version = self.found(request, pk)
        actor = self.demand(request, "prompt.write", version)
        newest = Version.objects.select_related("prompt").get(pk=version.prompt.newest_id)

        def revert(filled: dict[str, Any]) -> HttpResponse:
            saved, is_new = authoring.revert_version(actor, version)
            names = {"number": saved.number, "older": version.number}
            if not is_new:
                sentence = gettext("v%(number)s says the same as v%(older)s already. Nothing was saved.") % names
                return self.said(request, sentence, page_of("prompt_change", version.prompt_id))
            undo = link(page_of("version_revert", newest.pk), gettext("Undo (back to the text of v%s)") % newest.number)
            sentence = gettext("v%(number)s says what v%(older)s says. What is live did not change.") % names
            return self.said(request, format_html("{} {}", sentence, undo), page_of("prompt_change", version.prompt_id))

        names = {"older": version.number, "next": newest.number + 1, "newest": newest.number}
        return self.confirm(
            request,
            revert,
            template="admin/prompts/move.html",
            title=_("Go back to the text of v%(older)s") % names,
            consequences=[
                _("A new version with that text is saved behind v%(newest)s, which stays as it is.") % names,
                _("What is live does not change."),
            ],
            submit_label=_("Save the text of v%(older)s as v%(next)s") % names,
            cancel_url=page_of("version_change", version.pk),
            breadcrumbs=crumbs(version.prompt),
            **difference(newest, version),
        )


class NamePages(HouseAdmin):
    """Part of the prompts' admin, which has their addresses."""

    def name_urls(self) -> list[Any]:
        return [self.own("<int:pk>/rename/", self.rename_page, "rename")]

    def rename_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what becomes of applications; a POST gives the prompt another short name."""
        prompt = self.found(request, pk)
        actor = self.demand(request, self.write_capability, prompt)
        before = prompt.name
        form = ShortNameForm(sent(request), initial={"name": before})

        def rename(filled: dict[str, Any]) -> HttpResponse:
            renamed = naming.rename_prompt(actor, prompt, filled["name"])
            url = self.url("change", prompt.pk)
            if renamed.name == before:
                return self.said(request, gettext("The short name stays %(name)s.") % {"name": before}, url)
            sentence = gettext("The short name is %(name)s now.") % {"name": renamed.name}
            undo = link(f"{self.url('rename', prompt.pk)}?name={before}", gettext("Undo (back to %s)") % before)
            return self.said(request, format_html("{} {}", sentence, undo), url)

        if request.GET.get("name"):
            form.initial["name"] = request.GET["name"][:LONGEST_NAME]
        return self.confirm(
            request,
            rename,
            form=form,
            template="admin/prompts/move.html",
            title=_("Another short name for %(prompt)s") % {"prompt": prompt.title},
            consequences=_after_renaming(prompt),
            submit_label=_("Rename"),
            cancel_url=self.url("change", prompt.pk),
            breadcrumbs=crumbs(prompt),
        )


def _after_renaming(prompt: Prompt) -> list[Any]:
    """Return what applications notice of another name: nothing, because the old one goes on working once it was live."""
    name = {"name": prompt.name}
    former = list(PromptAlias.objects.filter(prompt=prompt).order_by("name").values_list("name", flat=True))
    if DeploymentEvent.objects.filter(prompt=prompt).exists():
        told = [
            _("It was live, so applications may ask for %(name)s: they go on getting it, and are told the new name.")
            % name,
            _("%(name)s stays taken: no other prompt can have it.") % name,
        ]
    else:
        told = [_("It was never live, so no application asks for %(name)s. The old name is free again.") % name]
    if former:
        told.append(_("Names it had before, which work as well: %(names)s.") % {"names": ", ".join(former)})
    return told
