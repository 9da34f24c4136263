"""Tags: found, counted, renamed, merged and ended. They are made by writing them on a prompt."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, acting, asks, link, sent
from prompts.admin.shown import page_of
from prompts.models import Tag
from prompts.services import tagging


class TagForm(HouseForm):
    """A tag's name."""

    named = {"tag_taken": "name"}
    name = forms.CharField(label=_("Name"), max_length=50, error_messages=asks(_("Give the tag a name.")))


class MergeForm(HouseForm):
    """The tag that stays."""

    into = forms.ModelChoiceField(Tag.objects.none(), label=_("Which tag stays"), empty_label=None)

    def __init__(self, *args: Any, tag: Tag, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["into"].queryset = Tag.objects.filter(team=tag.team_id).exclude(pk=tag.pk)  # type: ignore[attr-defined]


@admin.register(Tag)
class TagAdmin(HouseAdmin):
    write_capability = "prompt.write"
    list_title = _("Tags")
    empty_title = _("No tags yet")
    empty_text = _("Tags are words to find prompts by. Write them in a prompt's settings.")
    list_display = ["name_link", "prompts", "look"]
    list_display_links = None
    list_filter = [TeamFilter]
    search_fields = ["name"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).with_counts(acting(request))

    @admin.display(description=_("Tag"), ordering="name")
    def name_link(self, tag: Tag) -> SafeString:
        return link(self.url("change", tag.pk), f"#{tag.name}")

    @admin.display(description=_("Prompts"), ordering="prompt_count")
    def prompts(self, tag: Any) -> int:
        return tag.prompt_count

    @admin.display(description=_("Look"))
    def look(self, tag: Tag) -> SafeString:
        return link(_tagged(tag), gettext("Prompts with #%(tag)s") % {"tag": tag.name})

    def own_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/merge/", self.merge_page, "merge"),
            self.own("<int:pk>/end/", self.end_page, "end"),
        ]

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show on how many prompts the tag is; a POST gives it another name."""
        if request.method == "POST":
            self.demand(request, self.write_capability, thing)
        form = TagForm(sent(request), initial={"name": thing.name})

        def rename(filled: dict[str, Any]) -> HttpResponse:
            renamed = tagging.rename_tag(acting(request), thing, filled["name"])
            message = gettext("The tag is called #%(tag)s now, on all its prompts.") % {"tag": renamed.name}
            return self.said(request, message, self.url("change", thing.pk))

        return self.form_page(
            request,
            form,
            rename,
            template="admin/prompts/tag.html",
            title=f"#{thing.name}",
            tag=thing,
            found_url=_tagged(thing),
            may_write=self.has_change_permission(request, thing),
            merge_url=self.url("merge", thing.pk),
            end_url=self.url("end", thing.pk),
            submit_label=_("Rename"),
            cancel_url=self.url("changelist"),
        )

    def merge_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what merging does; a POST merges."""
        tag = self.found_tag(request, pk)
        form = MergeForm(sent(request), tag=tag)

        def merge(filled: dict[str, Any]) -> HttpResponse:
            into = filled["into"]
            count = tagging.merge_tags(acting(request), tag, into)
            told = ngettext("%(count)s prompt has #%(tag)s now.", "%(count)s prompts have #%(tag)s now.", count)
            return self.said(request, told % {"count": count, "tag": into.name}, self.url("change", into.pk))

        return self.confirm(
            request,
            merge,
            form=form,
            title=_("Merge #%(tag)s into another tag") % {"tag": tag.name},
            consequences=[
                _carried(tag, "%(count)s prompt gets the other tag.", "%(count)s prompts get the other tag."),
                _("#%(tag)s ends.") % {"tag": tag.name},
            ],
            submit_label=_("Merge"),
            cancel_url=self.url("change", tag.pk),
        )

    def end_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say from how many prompts it is taken; a POST takes it off and ends it."""
        tag = self.found_tag(request, pk)

        def end(filled: dict[str, Any]) -> HttpResponse:
            count = tagging.delete_tag(acting(request), tag)
            told = ngettext(
                "#%(tag)s is gone. %(count)s prompt had it.", "#%(tag)s is gone. %(count)s prompts had it.", count
            )
            return self.said(request, told % {"count": count, "tag": tag.name}, self.url("changelist"))

        return self.confirm(
            request,
            end,
            title=_("Delete #%(tag)s") % {"tag": tag.name},
            consequences=[
                _carried(tag, "%(count)s prompt loses this tag.", "%(count)s prompts lose this tag."),
                _("The prompts stay, and what is live does not change. To undo it, write the tag on them again."),
            ],
            is_danger=True,
            submit_label=_("Delete the tag"),
            cancel_url=self.url("change", tag.pk),
        )

    def found_tag(self, request: HttpRequest, pk: int) -> Any:
        """Return a tag that the person may change. Raises NotFound, Forbidden."""
        tag = self.found(request, pk)
        self.demand(request, self.write_capability, tag)
        return tag


def _carried(tag: Tag, one: str, several: str) -> str:
    """Return a sentence with the number of prompts that carry it, archived and private ones too: it is taken off all."""
    count = tagging.prompts_with(tag)
    return ngettext(one, several, count) % {"count": count}


def _tagged(tag: Tag) -> str:
    return f"{page_of('prompt_changelist')}?{urlencode({'tag': tag.name})}"
