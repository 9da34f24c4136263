"""Keeping a prompt in order: its settings, comparing its versions, archiving it and bringing it back."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import acting, link, sent
from prompts import resolve
from prompts.admin.forms import SettingsForm
from prompts.admin.reviewing import review_acts
from prompts.admin.section import SectionPages, section
from prompts.admin.shown import crumbs, difference, page_of, places_of, version_label
from prompts.admin.standing import standing_of
from prompts.models import Version
from prompts.services import authoring
from prompts.services.authoring import PromptChanges


class UpkeepPages(SectionPages):
    """Part of the prompt's admin, which has their addresses."""

    def upkeep_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/settings/", self.settings_page, "settings"),
            self.own("<int:pk>/archive/", self.archive_page, "archive"),
            self.own("<int:pk>/restore/", self.restore_page, "restore"),
            self.own("<int:pk>/compare/", self.compare_page, "compare"),
        ]

    def settings_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what belongs to the prompt itself; writers change it, and do there what is done rarely."""
        prompt = self.found(request, pk)
        if request.method == "POST":
            self.demand(request, self.write_capability, prompt)
        actor = acting(request)
        may_write = self.has_change_permission(request, prompt)
        form = SettingsForm(sent(request), prompt=prompt, actor=actor)

        def change(filled: dict[str, Any]) -> HttpResponse:
            changes = PromptChanges(
                title=filled["title"],
                description=filled["description"],
                tags=filled["tags"],
                collection=filled["collection"],
                has_collection=True,
                metadata=form.values(),
                model_type=filled["model_type"],
            )
            authoring.update_prompt(actor, prompt, changes)
            return self.said(request, gettext("The settings are saved."), self.url("settings", prompt.pk))

        return self.form_page(
            request,
            form,
            change,
            template="admin/prompts/settings.html",
            submit_label=_("Save the settings"),
            cancel_url=self.url("change", prompt.pk),
            may_write=may_write,
            may_change=may_write and prompt.archived_at is None,
            standing=standing_of(actor, prompt, self.url("standing", prompt.pk)),
            export_url=f"{self.url('transfer')}?only={prompt.name}",
            copy_url=page_of("version_copy", prompt.newest_id) if may_write else "",
            history_url=self.url("history", prompt.pk) if self.may(request, "audit.read", prompt) else "",
            urls={name: self.url(name, prompt.pk) for name in ("rename", "archive", "restore")},
            **section(actor, prompt, "settings"),
        )

    def compare_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show two versions side by side; without a choice the live one (or the one before) and the newest."""
        prompt = self.opened(request, pk)
        newest = prompt.newest
        live = next((pointer.version for pointer in reversed(prompt.live)), None)
        usual = live.number if live and live.pk != newest.pk else max(1, newest.number - 1)
        old = resolve.version_of(prompt, request.GET.get("a") or str(usual))
        new = resolve.version_of(prompt, request.GET.get("b") or str(newest.number))
        return self.page(
            request,
            "admin/prompts/compare.html",
            choices=_choices(prompt),
            old=old,
            new=new,
            swap_url=f"?a={new.number}&b={old.number}",
            acts=self._acts_on(request, prompt, new),
            **section(acting(request), prompt, "compare"),
            **difference(old, new),
        )

    def _acts_on(self, request: HttpRequest, prompt: Any, version: Version) -> list[dict[str, Any]]:
        """Return what somebody may do with the newer of two versions once they compared them."""
        version.prompt = prompt
        if prompt.archived_at is not None:
            return []
        moves = [
            {
                "label": _("Put v%(number)s live in %(environment)s…")
                % {"number": version.number, "environment": place.environment},
                "url": f"{place.deploy_url}?version={version.number}",
            }
            for place in places_of(acting(request), prompt)
            if place.may_move and (place.live is None or place.live.pk != version.pk)
        ]
        return [*review_acts(acting(request), version), *moves]

    def archive_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what archiving means; a POST archives."""
        prompt = self.opened(request, pk)
        actor = self.demand(request, self.write_capability, prompt)

        def archive(filled: dict[str, Any]) -> HttpResponse:
            authoring.archive_prompt(actor, prompt)
            undo = link(self.url("restore", prompt.pk), gettext("Undo (bring it back)"))
            sentence = gettext("%(prompt)s is archived.") % {"prompt": prompt.title}
            return self.said(request, format_html("{} {}", sentence, undo), self.url("changelist"))

        consequences = [
            _("It leaves the lists, and nobody can change it or put it live."),
            _("Nothing is deleted. You can bring it back at any time."),
        ]
        warnings = []
        if prompt.live:
            where = ", ".join(str(pointer.environment) for pointer in prompt.live)
            stays = _("It stays live in %(where)s: apps go on getting it until you stop serving it.")
            warnings = [stays % {"where": where}]
        return self.confirm(
            request,
            archive,
            title=_("Archive %(prompt)s") % {"prompt": prompt.title},
            consequences=consequences,
            warnings=warnings,
            submit_label=_("Archive"),
            cancel_url=self.url("change", prompt.pk),
            breadcrumbs=crumbs(prompt),
        )

    def restore_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what bringing back means; a POST does it."""
        prompt = self.opened(request, pk)
        actor = self.demand(request, self.write_capability, prompt)

        def restore(filled: dict[str, Any]) -> HttpResponse:
            authoring.restore_prompt(actor, prompt)
            message = gettext("%(prompt)s is back.") % {"prompt": prompt.title}
            return self.said(request, message, self.url("change", prompt.pk))

        return self.confirm(
            request,
            restore,
            title=_("Bring back %(prompt)s") % {"prompt": prompt.title},
            consequences=[_("It is in the lists again and can be changed and put live. What is live does not change.")],
            submit_label=_("Bring it back"),
            cancel_url=self.url("change", prompt.pk),
            breadcrumbs=crumbs(prompt),
        )


def _choices(prompt: Any) -> list[dict[str, Any]]:
    """Return the versions to choose from, each with where it is live."""
    where: dict[int, list[str]] = {}
    for pointer in prompt.live:
        where.setdefault(pointer.version_id, []).append(str(pointer.environment))
    versions = Version.objects.filter(prompt=prompt).newest_first().defer("text", "messages")
    return [
        {"number": one.number, "label": " – ".join([version_label(one), *where.get(one.pk, [])])} for one in versions
    ]
