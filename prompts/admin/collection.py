"""Collections: a tree of them, who sees each, archiving a whole and bringing it back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, TeamForm, acting, asks, badge, link, sent
from promptlab.accounts.models import User
from promptlab.templatetags.promptlab import when
from prompts.admin.filters import ArchivedFilter
from prompts.admin.shown import live_badges, page_of, version_label
from prompts.models import Collection, Deployment, Prompt
from prompts.querysets import counted
from prompts.services import collecting
from prompts.services.collecting import Place


class CollectionFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=200, error_messages=asks(_("Give the collection a name.")))
    description = forms.CharField(label=_("What it is for"), required=False, widget=forms.Textarea(attrs={"rows": 3}))


class PlaceFields(forms.Form):
    """Where a collection stands and who sees it."""

    named = {"parent_id": "parent", "owner_id": "owner"}
    parent = forms.ModelChoiceField(
        Collection.objects.none(), label=_("Inside of"), required=False, empty_label=_("Nothing: at the top")
    )
    visibility = forms.ChoiceField(
        label=_("Who sees it"),
        choices=Collection.Visibility.choices,
        required=False,
        help_text=_("Never more people than what it is inside of. Apps get live prompts whoever sees them here."),
    )

    def offer(self, groups: QuerySet[Collection]) -> None:
        """Let these be chosen to be inside of, each under the names of what it is in itself."""
        field: Any = self.fields["parent"]
        field.queryset = groups
        field.label_from_instance = way_of


class NewCollectionForm(PlaceFields, CollectionFields, TeamForm):
    """A collection to be, the person's own."""

    field_order = ("team", "name", "description", "parent", "visibility")

    def __init__(self, *args: Any, actor: Principal, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"visibility": Collection.Visibility.TEAM})
        super().__init__(*args, actor=actor, **kwargs)
        self.offer(Collection.objects.visible_to(actor).active().filter(team__in=self.team_ids).with_path())

    def place(self) -> Place:
        """Return where a valid form puts it."""
        parent, visibility = self.cleaned_data["parent"], self.cleaned_data["visibility"]
        return Place(parent=parent, has_parent=True, visibility=visibility or None)


class CollectionForm(PlaceFields, CollectionFields, HouseForm):
    """A collection's name and purpose, its place and its owner."""

    owner = forms.ModelChoiceField(User.objects.none(), label=_("Owner"), required=False, empty_label=_("Nobody"))
    field_order = ("name", "description", "parent", "visibility", "owner")

    def __init__(self, *args: Any, actor: Principal, collection: Collection, **kwargs: Any) -> None:
        self.initial_place = {
            "parent": collection.parent_id,
            "visibility": collection.visibility,
            "owner": collection.owner_id,
        }
        kwargs["initial"] = {"name": collection.name, "description": collection.description, **self.initial_place}
        super().__init__(*args, **kwargs)
        groups = Collection.objects.visible_to(actor).active().filter(team=collection.team_id)
        below = Collection.objects.below(collection.pk).values("pk")
        self.offer(groups.exclude(pk__in=below).with_path())
        if collection.parent is not None and not collection.parent.is_seen_by(actor):
            del self.fields["parent"]  # it stays where it is: what is not seen cannot be chosen again
        in_team = Q(memberships__team=collection.team_id, is_active=True)
        members = User.objects.filter(in_team | Q(pk=collection.owner_id)).distinct()
        self.fields["owner"].queryset = members.order_by("username")  # type: ignore[attr-defined]

    def place(self) -> Place:
        """Return what a valid form says otherwise: only that is asked of the service."""
        told = {name: self.cleaned_data.get(name) for name in self.initial_place}
        told["visibility"] = told["visibility"] or self.initial_place["visibility"]
        ids = {name: value if isinstance(value, str) else getattr(value, "pk", None) for name, value in told.items()}
        changed = {name for name in self.fields if name in ids and ids[name] != self.initial_place[name]}
        return Place(
            parent=told["parent"],
            has_parent="parent" in changed,
            owner_id=ids["owner"],
            has_owner="owner" in changed,
            visibility=told["visibility"] if "visibility" in changed else None,
        )


def way_of(collection: Collection) -> str:
    """Return `Emails / Letters`: a collection under the names of what it is in, private ones left out."""
    above = [one.name for one in collection.way()[:-1] if one.visibility != Collection.Visibility.PRIVATE]
    return " / ".join([*above, collection.name])


KINDS = {
    Collection.Visibility.PRIVATE: "warn",
    Collection.Visibility.TEAM: "neutral",
    Collection.Visibility.EVERYONE: "info",
}


class SeenByFilter(admin.SimpleListFilter):
    title = _("Who sees it")
    parameter_name = "seen_by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Collection.Visibility.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(visibility=self.value()) if self.value() else queryset


@admin.register(Collection)
class CollectionAdmin(HouseAdmin):
    write_capability = "prompt.write"
    list_title = _("Collections")
    add_label = _("New collection")
    empty_title = _("No collections yet")
    empty_text = _("Collections keep prompts of one team or product together.")
    list_display = ["name_link", "description", "seen_by", "prompts", "live", "owner", "changed"]
    list_display_links = None
    list_filter = [SeenByFilter, ArchivedFilter, TeamFilter]
    search_fields = ["name", "description"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        live = Deployment.objects.live().filter(environment__name="production", prompt__archived_at=None)
        return self.visible(request).with_path().with_counts().annotate(live_count=counted(live, "prompt__collection"))

    @admin.display(description=_("Collection"), ordering="name")
    def name_link(self, collection: Collection) -> SafeString:
        shown = link(self.url("change", collection.pk), collection.name)
        above = way_of(collection).removesuffix(collection.name)
        shown = format_html('<span class="quiet">{}</span>{}', above, shown)
        return format_html("{} {}", shown, badge(_("Archived"), "warn")) if collection.archived_at else shown

    @admin.display(description=_("Who sees it"), ordering="visibility")
    def seen_by(self, collection: Collection) -> SafeString:
        return badge(collection.get_visibility_display(), KINDS[collection.visibility])

    @admin.display(description=_("Prompts"), ordering="prompt_count")
    def prompts(self, collection: Any) -> int:
        return collection.prompt_count

    @admin.display(description=_("Live in Production"), ordering="live_count")
    def live(self, collection: Any) -> int:
        return collection.live_count

    @admin.display(description=_("Changed"), ordering="updated_at")
    def changed(self, collection: Collection) -> str:
        return when(collection.updated_at)

    def own_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/archive/", self.archive_page, "archive"),
            self.own("<int:pk>/restore/", self.restore_page, "restore"),
        ]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Make a collection."""
        form = NewCollectionForm(sent(request), actor=acting(request), capability=self.write_capability)

        def make(filled: dict[str, Any]) -> HttpResponse:
            made = collecting.create_collection(
                acting(request),
                form.chosen_team().pk,
                name=filled["name"],
                description=filled["description"],
                place=form.place(),
            )
            message = gettext("%(name)s is ready. Put prompts into it on their settings page.") % {"name": made.name}
            return self.said(request, message, self.url("change", made.pk))

        return self.form_page(
            request,
            form,
            make,
            title=_("New collection"),
            submit_label=_("Make the collection"),
            cancel_url=self.url("changelist"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show a collection's prompts, and its name and purpose to change."""
        form = CollectionForm(sent(request), actor=acting(request), collection=thing)
        if request.method == "POST":
            self.demand(request, self.write_capability, thing)
        title = thing.name

        def change(filled: dict[str, Any]) -> HttpResponse:
            name, description = filled["name"], filled["description"]
            collecting.update_collection(acting(request), thing, name=name, description=description, place=form.place())
            return self.said(request, gettext("The collection is saved."), self.url("change", thing.pk))

        return self.form_page(
            request,
            form,
            change,
            template="admin/prompts/collection.html",
            title=title,
            collection=thing,
            rows=_rows(Prompt.objects.filter(collection=thing).active().for_list()),
            may_write=self.has_change_permission(request, thing),
            archive_url=self.url("archive", thing.pk),
            restore_url=self.url("restore", thing.pk),
            inside=self._inside(request, thing),
            submit_label=_("Save"),
            cancel_url=self.url("changelist"),
        )

    def _inside(self, request: HttpRequest, collection: Collection) -> list[dict[str, Any]]:
        """Return the collections right inside of one."""
        rows = self.visible(request).active().filter(parent=collection).with_counts()
        return [{"name": one.name, "url": self.url("change", one.pk), "prompts": one.prompt_count} for one in rows]

    def restore_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what comes back; a POST does it."""
        collection = self.found(request, pk)
        actor = self.demand(request, self.write_capability, collection)

        def restore(filled: dict[str, Any]) -> HttpResponse:
            collecting.restore_collection(actor, collection)
            message = gettext("%(name)s is back.") % {"name": collection.name}
            return self.said(request, message, self.url("change", collection.pk))

        return self.confirm(
            request,
            restore,
            title=_("Bring back %(name)s") % {"name": collection.name},
            consequences=[
                _("It is in the lists again, with the collections and prompts that were archived along with it."),
                _("What had been archived before that stays archived. What is live does not change."),
            ],
            submit_label=_("Bring it back"),
            cancel_url=self.url("change", collection.pk),
        )

    def archive_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Name the prompts that go along; a POST archives."""
        collection = self.found(request, pk)
        actor = self.demand(request, self.write_capability, collection)
        below = Collection.objects.below(collection.pk).active()
        seen = Prompt.objects.visible_to(actor).active()
        prompts = list(seen.filter(collection__in=below.values("pk")).for_list())

        def archive(filled: dict[str, Any]) -> HttpResponse:
            collecting.archive_collection(actor, collection)
            message = gettext("%(name)s is archived.") % {"name": collection.name}
            return self.said(request, message, self.url("changelist"))

        count = len(prompts)
        along = ngettext("%(count)s prompt is archived with it", "%(count)s prompts are archived with it", count)
        names = ", ".join(prompt.title for prompt in prompts[:20])
        live = [prompt.title for prompt in prompts if prompt.live]
        stays = _("Still live until you stop serving them: %(names)s.") % {"names": ", ".join(live[:20])}
        return self.confirm(
            request,
            archive,
            title=_("Archive %(name)s") % {"name": collection.name},
            consequences=[
                _("The collection leaves the lists, with those inside of it."),
                *([f"{along % {'count': count}}: {names}."] if prompts else []),
                _("Nothing is deleted. The whole can be brought back, or each prompt."),
            ],
            warnings=[stays] if live else [],
            submit_label=_("Archive"),
            cancel_url=self.url("change", collection.pk),
        )


def _rows(prompts: Any) -> list[dict[str, Any]]:
    return [
        {
            "title": prompt.title,
            "name": prompt.name,
            "url": page_of("prompt_change", prompt.pk),
            "live": live_badges(prompt.live),
            "newest": badge(version_label(prompt.newest)),
            "changed": prompt.updated_at,
        }
        for prompt in prompts
    ]
