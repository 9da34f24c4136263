"""The glue between Django's admin and our services: who sees what, forms that services may refuse, pages before an act.

People have roles, not Django permissions. Nothing is written here except through services, and nothing by a GET.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import ADMINISTER, Principal, require
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Membership, Team, User
from promptlab.audit.admin import lines_about
from promptlab.lib.errors import DomainError, FieldProblem, Forbidden, NotFound

Act = Callable[[dict[str, Any]], HttpResponse]
"""What a sent form does: given its values, calls one service and says where to go."""
AnyForm = Any
"""A Django form with `Refusable` in it: HouseForm, or a model's form."""
NOBODY = Principal(kind="user", id=None, label="")
NO_TEAM = 0


def acting(request: HttpRequest) -> Principal:
    """Return who acts in this request; asks the database once. Somebody who is not signed in may do nothing."""
    known: Principal | None = request.__dict__.get("acting")
    if known is None:
        user = request.user
        known = principal_of_user(user) if isinstance(user, User) and user.is_active else NOBODY
        if not known.grants and isinstance(user, User) and user.is_superuser:
            # A new installation: somebody has to make the first team.
            known = replace(known, grants={NO_TEAM: ADMINISTER})
        request.__dict__["acting"] = known
    return known


def sent(request: HttpRequest) -> Any:
    """Return what a form was sent with; None before it was."""
    return request.POST if request.method == "POST" else None


def asks(sentence: Any) -> dict[str, Any]:
    """Return the messages of a field that says what to do when it is left empty."""
    return {"required": sentence}


def badge(label: object, kind: str = "neutral") -> SafeString:
    """Return a status in words on its ground; `kind` is ok, info, warn, bad or neutral."""
    return format_html('<span class="badge {}">{}</span>', kind, label)


def link(url: str, label: object) -> SafeString:
    """Return a link."""
    return format_html('<a href="{}">{}</a>', url, label)


def role_names(roles: list[str]) -> list[str]:
    """Return the roles as people call them: without the explanation that the form gives."""
    return [str(Membership.Role(role).label).partition(":")[0] for role in roles]


class Refusable:
    """For forms that a service may refuse. `named` leads from a problem's field, or an error's code, to a field."""

    named: Mapping[str, str] = {}
    data: Any

    def refuse(self, error: DomainError) -> None:
        """Show what the service did not like, beside its field where there is one."""
        for problem in error.problems or [FieldProblem("", error.detail, error.code)]:
            self.add_error(self.field_of(problem), error.told_of(problem))  # type: ignore[attr-defined]

    def say_again(self, problem: Any, **changed: object) -> None:
        """Show a problem above the form, which is sent with these hidden values the next time."""
        self.data = {**dict(self.data.items()), **changed}
        self.add_error(None, problem)  # type: ignore[attr-defined]

    def field_of(self, problem: FieldProblem) -> str | None:
        """Return the field that a problem is shown at; None shows it above the form."""
        for word in (problem.field, problem.field.partition(".")[0], problem.code):
            name = self.named.get(word, word)
            if name in self.fields:  # type: ignore[attr-defined]
                return name
        return None


class HouseForm(Refusable, forms.Form):
    """A form that belongs to no table."""


class TeamForm(HouseForm):
    """A form for something that belongs to a team. Who may do this in one team only is not asked which."""

    team = forms.ModelChoiceField(Team.objects.none(), label=_("Team"), empty_label=None)

    def __init__(self, *args: Any, actor: Principal, capability: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        teams = Team.objects.filter(pk__in=actor.teams_with(capability))
        self.team_ids = list(teams.values_list("pk", flat=True))
        self.fields["team"].queryset = teams  # type: ignore[attr-defined]
        if len(self.team_ids) == 1:
            del self.fields["team"]

    def chosen_team(self) -> Team:
        """Return the team of a valid form."""
        chosen: Team | None = self.cleaned_data.get("team")
        return chosen or Team.objects.get(pk=self.team_ids[0])


class TeamFilter(admin.SimpleListFilter):
    """For people in several teams; others do not see it. `team_path` comes from the admin it filters."""

    title = _("Team")
    parameter_name = "team"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        assert isinstance(model_admin, HouseAdmin)
        self.path = model_admin.team_path
        teams = acting(request).teams_with(model_admin.view_capability)
        if len(teams) < 2:
            return []
        return [(str(pk), name) for pk, name in Team.objects.filter(pk__in=teams).values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(**{self.path: int(chosen)}) if chosen and chosen.isdecimal() else queryset


class HouseAdmin(admin.ModelAdmin):
    """Lists from Django, everything else ours. Subclasses give `add_page` and `thing_page` what they have."""

    view_capability = "prompt.read"
    write_capability = ""
    """What making and changing takes; empty: nobody does it here."""
    team_path = "team_id"
    list_title: Any = ""
    add_label: Any = ""
    empty_title: Any = ""
    empty_text: Any = ""
    actions = None
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "admin/accounts/list.html"

    @property
    def media(self) -> forms.Media:
        """Return none of Django's scripts: our pages need no jQuery."""
        return forms.Media()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.may(request, self.view_capability)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, self.view_capability, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may(request, self.write_capability)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, self.write_capability, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def may(self, request: HttpRequest, capability: str, thing: Model | None = None) -> bool:
        """Tell whether the person holds `capability`: in the thing's team, or without a thing in any."""
        if not capability:
            return False
        actor = acting(request)
        return actor.may_anywhere(capability) if thing is None else actor.may(capability, self.team_id_of(thing))

    def demand(self, request: HttpRequest, capability: str, thing: Model | None = None) -> Principal:
        """Return who acts. Raises Forbidden with the sentence that says which role it takes."""
        actor = acting(request)
        if not capability:
            raise Forbidden(str(_("This page is to look at. Nothing can be changed here.")))
        if thing is not None:
            require(actor, capability, self.team_id_of(thing))
        elif not actor.may_anywhere(capability):
            actor.team_for(capability)
        return actor

    def team_id_of(self, thing: Model) -> int:
        """Return the id of the team that owns the thing."""
        team_id: int = attrgetter(self.team_path.replace("__", "."))(thing)
        return team_id

    def visible(self, request: HttpRequest) -> Any:
        """Return the rows the person may see, bare; a queryset with its own named questions."""
        return self.model._default_manager.all().visible_to(acting(request), self.view_capability)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows the person may see, with what the list shows of each."""
        return self.visible(request)

    def found(self, request: HttpRequest, pk: object) -> Any:
        """Return a thing the person may see, with what pages show of it. Raises NotFound for all others."""
        return self.one_of(self.get_queryset(request), pk)

    @staticmethod
    def one_of(rows: QuerySet[Any], pk: object) -> Any:
        """Return the row with this id, of rows the person may see. Raises NotFound."""
        try:
            return rows.get(pk=pk)
        except (ObjectDoesNotExist, ValueError, ValidationError) as error:
            raise NotFound("There is nothing at this address.") from error

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self.demand(request, self.view_capability)
        if "" in request.GET.values():
            # Django answers an empty choice with no rows, or with "?e=1".
            kept = request.GET.copy()
            for name in [name for name, value in request.GET.items() if value == ""]:
                del kept[name]
            return HttpResponseRedirect(f"{request.path}?{kept.urlencode()}" if kept else request.path)
        texts = {name: getattr(self, name) for name in ("list_title", "add_label", "empty_title", "empty_text")}
        return super().changelist_view(request, {**texts, **(extra_context or {})})

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        self.demand(request, self.write_capability)
        return self.add_page(request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        self.demand(request, self.view_capability)
        return self.thing_page(request, self.found(request, object_id))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show what the activity log says about one thing, newest first."""
        thing = self.found(request, object_id)
        self.demand(request, "audit.read", thing)
        lines = lines_about(self.opts.label_lower, thing.pk)
        crumbs = [self.list_crumb(), {"label": str(thing), "url": self.url("change", thing.pk)}]
        return self.page(request, "admin/accounts/history.html", title=_("History"), lines=lines, breadcrumbs=crumbs)

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Answer the page that makes one. Without one there is nothing at that address."""
        raise NotFound("There is nothing at this address.")

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Answer the page of one thing."""
        raise NotFound("There is nothing at this address.")

    def page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        """Return a page of ours in the site's frame."""
        request.current_app = self.admin_site.name
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "breadcrumbs": [self.list_crumb()]}
        return TemplateResponse(request, template, {**frame, **context})

    def list_crumb(self) -> dict[str, Any]:
        """Return the way back to the list."""
        label = self.list_title or str(self.opts.verbose_name_plural).capitalize()
        return {"label": label, "url": self.url("changelist")}

    def submitted(self, request: HttpRequest, form: AnyForm, act: Act) -> HttpResponse | None:
        """Run `act` on a form that was sent and is valid. None: show the form, with what it says."""
        if request.method != "POST" or not form.is_valid():
            return None
        try:
            return act(form.cleaned_data)
        except DomainError as error:
            if isinstance(error, Forbidden) or type(error) is NotFound:
                raise
            form.refuse(error)
            return None

    def form_page(self, request: HttpRequest, form: AnyForm, act: Act, **context: Any) -> HttpResponse:
        """Answer a page that is one form. Context: title, submit_label, cancel_url; lead or nothing."""
        template = context.pop("template", "admin/accounts/form.html")
        return self.submitted(request, form, act) or self.page(request, template, form=form, **context)

    def confirm(
        self,
        request: HttpRequest,
        act: Act,
        *,
        form: AnyForm | None = None,
        consequences: Iterable[Any] = (),
        template: str = "admin/confirm_act.html",
        **context: Any,
    ) -> HttpResponse:
        """Answer the page before an act: a GET says what will happen, a POST does it.

        Context: title, submit_label, cancel_url; lead, is_danger, diff, warnings or nothing.
        """
        form = form or HouseForm(sent(request))
        done = self.submitted(request, form, act)
        return done or self.page(request, template, form=form, consequences=list(consequences), **context)

    def said(self, request: HttpRequest, sentence: Any, url: str) -> HttpResponseRedirect:
        """Say that something was done, on the page where the person goes on."""
        messages.success(request, sentence)
        return HttpResponseRedirect(url)

    def url(self, name: str, *args: object) -> str:
        """Return the address of one of this admin's pages."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}", args=args)

    def get_urls(self) -> list[Any]:
        own: list[Any] = self.own_urls()
        return own + super().get_urls()

    def own_urls(self) -> list[URLPattern]:
        """Return the addresses besides Django's."""
        return []

    def own(self, route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
        """Return one of them: only for people who may sign in."""
        full_name = f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        return path(route, self.admin_site.admin_view(view), name=full_name)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Write nothing: Django's own log is not kept, services write the activity log."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Write nothing, for the same reason."""
