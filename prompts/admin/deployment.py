"""What is live: the list, the history of moves, and environments."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, TeamForm, acting, asks, badge, link, sent
from promptlab.lib.formats import fmt_int, fmt_name
from promptlab.templatetags.promptlab import when
from prompts.admin.shown import difference, live_badge, move_row, page_of, places_of, version_label
from prompts.errors import FreezeNotFound
from prompts.models import Deployment, DeploymentEvent, Environment, FreezeWindow, Prompt, Suite
from prompts.services import environments
from prompts.services.environments import Rules


class EnvironmentFilter(admin.SimpleListFilter):
    """Environments by name: teams name them alike."""

    title = _("Environment")
    parameter_name = "environment"
    path = "environment__name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = Environment.objects.visible_to(acting(request))
        return [(name, fmt_name(name)) for name in dict.fromkeys(rows.values_list("name", flat=True))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.path: self.value()}) if self.value() else queryset


class PromptFilter(admin.SimpleListFilter):
    """Only there when a page about one prompt led here; it says so, and can be cleared."""

    title = _("Prompt")
    parameter_name = "prompt"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        asked = request.GET.get("prompt", "")
        if not asked.isdecimal():
            return []
        rows = Prompt.objects.visible_to(acting(request)).filter(pk=int(asked))
        return [(str(pk), title) for pk, title in rows.values_list("pk", "title")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value() or ""
        return queryset.filter(prompt=int(chosen)) if chosen.isdecimal() else queryset


@admin.register(Deployment)
class DeploymentAdmin(HouseAdmin):
    team_path = "prompt__team_id"
    list_title = _("Live versions")
    empty_title = _("Nothing is live yet")
    empty_text = _("Apps that ask for a prompt get an error until you put a version live.")
    list_display = ["prompt_link", "where", "since", "who", "why"]
    list_display_links = None
    list_filter = [EnvironmentFilter, PromptFilter, TeamFilter]
    search_fields = ["prompt__title", "prompt__name"]
    ordering = ["prompt__title", "environment__position"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).live().select_related("prompt", "environment", "version", "event")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        more = [{"label": _("History"), "url": page_of("deploymentevent_changelist")}]
        return super().changelist_view(request, {"more": more, **(extra_context or {})})

    @admin.display(description=_("Prompt"), ordering="prompt__title")
    def prompt_link(self, pointer: Deployment) -> SafeString:
        url = page_of("prompt_change", pointer.prompt_id)
        return format_html("{}<div><code>{}</code></div>", link(url, pointer.prompt.title), pointer.prompt.name)

    @admin.display(description=_("Live"), ordering="environment__position")
    def where(self, pointer: Deployment) -> SafeString:
        return live_badge(pointer.environment, pointer.version)

    @admin.display(description=_("Since"), ordering="updated_at")
    def since(self, pointer: Deployment) -> str:
        return when(pointer.updated_at)

    @admin.display(description=_("Who"))
    def who(self, pointer: Deployment) -> str:
        return pointer.event.actor_label

    @admin.display(description=_("Why"))
    def why(self, pointer: Deployment) -> str:
        return pointer.event.note or "–"

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Lead to the prompt: it says what is live everywhere."""
        return HttpResponseRedirect(page_of("prompt_change", thing.prompt_id))


@admin.register(DeploymentEvent)
class DeploymentEventAdmin(HouseAdmin):
    team_path = "prompt__team_id"
    list_title = _("History of live versions")
    empty_title = _("Nothing went live yet")
    list_display = ["moment", "prompt_link", "what", "actor_label", "note"]
    list_display_links = None
    list_filter = [EnvironmentFilter, ("kind", admin.ChoicesFieldListFilter), PromptFilter, TeamFilter]
    search_fields = ["prompt__title", "prompt__name", "note"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).with_names()

    @admin.display(description=_("When"))
    def moment(self, event: DeploymentEvent) -> str:
        return when(event.at)

    @admin.display(description=_("Prompt"))
    def prompt_link(self, event: DeploymentEvent) -> SafeString:
        return link(self.url("change", event.pk), event.prompt.title)

    @admin.display(description=_("What"))
    def what(self, event: DeploymentEvent) -> SafeString:
        if event.to_version is None:
            return badge(_("Stopped in %(environment)s") % {"environment": event.environment}, "warn")
        shown = live_badge(event.environment, event.to_version)
        return format_html("{} {}", shown, _("went back")) if event.kind == DeploymentEvent.Kind.ROLLBACK else shown

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show one move, and what it changed."""
        old, new = thing.from_version, thing.to_version
        prompt_url = page_of("prompt_change", thing.prompt_id)
        facts = [
            (_("Prompt"), link(prompt_url, thing.prompt.title)),
            (_("What"), thing.get_kind_display()),
            (_("Environment"), thing.environment),
            (_("From"), version_label(old) if old else _("nothing")),
            (_("To"), version_label(new) if new else _("nothing")),
            (_("Who"), thing.actor_label),
            (_("When"), when(thing.at)),
            (_("Why"), thing.note or "–"),
        ]
        compared = {}
        if old and new:
            old.prompt = new.prompt = thing.prompt
            compared = difference(old, new)
        row = move_row(thing, places_of(acting(request), thing.prompt))
        return self.page(
            request,
            "admin/prompts/event.html",
            title=str(thing),
            facts=facts,
            prompt_url=prompt_url,
            return_url=row["return_url"],
            **compared,
        )


class NewEnvironmentForm(TeamForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=36,
        help_text=_("Lower-case letters, such as preview. Apps ask for it by this name."),
        error_messages=asks(_("Give the environment a name.")),
    )
    position = forms.IntegerField(
        label=_("Order"), min_value=0, max_value=1000, initial=10, help_text=_("Where it stands in lists.")
    )

    named = {"environment_taken": "name"}
    field_order = ["team", "name", "position"]


class RenameForm(HouseForm):
    """Another name for an environment that no application can know yet."""

    named = {"environment_taken": "name", "environment_in_use": "name"}
    name = forms.CharField(
        label=_("Name"),
        max_length=36,
        help_text=_("Lower-case letters, such as preview. Apps ask for it by this name."),
        error_messages=asks(_("Give the environment a name.")),
    )


class RulesForm(HouseForm):
    """What an environment asks for before something goes live."""

    is_protected = forms.BooleanField(
        label=_("Protected: a version goes live after a review"),
        required=False,
        help_text=_("What is live there cannot be archived."),
    )
    approvals_needed = forms.IntegerField(
        label=_("Approvals needed"), min_value=0, max_value=environments.MOST_APPROVALS, initial=1
    )
    four_eyes = forms.BooleanField(
        label=_("Four eyes: who puts it live does not count as a reviewer"),
        required=False,
        help_text=_("Without it, a reviewer who puts it live counts as one approval."),
    )
    position = forms.IntegerField(label=_("Order"), min_value=0, max_value=1000)
    suites = forms.MultipleChoiceField(
        label=_("Test suites that have to be green"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Nothing goes live there that is worse by them than what is live."),
    )
    drift_budget_usd = forms.DecimalField(
        label=_("Run them every night on what is live, for at most so many dollars a night"),
        min_value=0,
        max_value=environments.MOST_A_NIGHT,
        max_digits=10,
        decimal_places=4,
        help_text=_("It finds models that changed behind a text that did not. 0: nothing is run."),
    )

    def __init__(self, *args: Any, environment: Environment, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = Suite.objects.active().filter(team=environment.team_id).values_list("name", flat=True)
        fields: dict[str, Any] = self.fields
        fields["suites"].choices = [(name, name) for name in names]
        if not fields["suites"].choices:
            del self.fields["suites"], self.fields["drift_budget_usd"]


class FreezeForm(HouseForm):
    """From when until when nothing goes live, and why."""

    starts_at = forms.DateTimeField(label=_("From"), widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))
    ends_at = forms.DateTimeField(label=_("Until"), widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))
    reason = forms.CharField(label=_("Why"), max_length=500, error_messages=asks(_("Say why.")))


@admin.register(Environment)
class EnvironmentAdmin(HouseAdmin):
    view_capability = write_capability = "team.admin"
    list_title = _("Environments")
    add_label = _("New environment")
    list_display = ["name_link", "apps_name", "moves", "live_link"]
    list_display_links = None
    list_filter = [TeamFilter]
    sortable_by = ()

    @admin.display(description=_("Name"))
    def name_link(self, environment: Environment) -> SafeString:
        return link(self.url("change", environment.pk), environment)

    @admin.display(description=_("Apps ask for"))
    def apps_name(self, environment: Environment) -> SafeString:
        return format_html("<code>{}</code>", environment.name)

    @admin.display(description=_("Moves so far"))
    def moves(self, environment: Environment) -> str:
        return fmt_int(environment.revision)

    @admin.display(description=_("What is live"))
    def live_link(self, environment: Environment) -> SafeString:
        return link(f"{page_of('deployment_changelist')}?environment={environment.name}", _("See what is live here"))

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Make an environment. Its name may not look like a version."""
        form = NewEnvironmentForm(sent(request), actor=acting(request), capability=self.write_capability)

        def make(filled: dict[str, Any]) -> HttpResponse:
            team = form.chosen_team()
            made = environments.create_environment(
                acting(request), team.pk, name=filled["name"], position=filled["position"]
            )
            return self.said(request, gettext("%(name)s is ready.") % {"name": made}, self.url("changelist"))

        return self.form_page(
            request,
            form,
            make,
            title=_("New environment"),
            submit_label=_("Make the environment"),
            cancel_url=self.url("changelist"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show an environment with its freezes, and what it asks for to change."""
        names = ("is_protected", "approvals_needed", "four_eyes", "position", "drift_budget_usd")
        initial = {**{name: getattr(thing, name) for name in names}, "suites": thing.suite_names}
        form = RulesForm(sent(request), initial=initial, environment=thing)
        if request.method == "POST":
            self.demand(request, self.write_capability, thing)

        def change(filled: dict[str, Any]) -> HttpResponse:
            environments.change_environment(acting(request), thing, Rules(**filled))
            return self.said(request, gettext("The rules are saved."), self.url("change", thing.pk))

        facts = [
            (_("Apps ask for"), self.apps_name(thing)),
            (_("Moves so far"), self.moves(thing)),
            (_("What is live"), self.live_link(thing)),
            (
                _("Nightly runs"),
                link(f"{page_of('goldenrun_changelist')}?environment={thing.name}", _("See what they found")),
            ),
        ]
        windows = FreezeWindow.objects.filter(environment=thing, ends_at__gt=timezone.now())
        return self.form_page(
            request,
            form,
            change,
            template="admin/prompts/environment.html",
            title=str(thing),
            facts=facts,
            freezes=[{"window": one, "url": self.url("thaw", thing.pk, one.pk)} for one in windows],
            freeze_url=self.url("freeze", thing.pk),
            rename_url=self.url("rename", thing.pk),
            submit_label=_("Save the rules"),
            cancel_url=self.url("changelist"),
        )

    def own_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/rename/", self.rename_page, "rename"),
            self.own("<int:pk>/freeze/", self.freeze_page, "freeze"),
            self.own("<int:pk>/freezes/<int:window>/end/", self.thaw_page, "thaw"),
        ]

    def rename_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give it another name, while no application can know the old one."""
        environment = self.found(request, pk)
        actor = self.demand(request, self.write_capability, environment)
        form = RenameForm(sent(request), initial={"name": environment.name})

        def rename(filled: dict[str, Any]) -> HttpResponse:
            renamed = environments.rename_environment(actor, environment, filled["name"])
            said = gettext("The environment is called %(name)s.") % {"name": renamed.name}
            return self.said(request, said, self.url("change", environment.pk))

        return self.confirm(
            request,
            rename,
            form=form,
            title=_("Rename %(environment)s") % {"environment": environment},
            consequences=[
                _("Apps ask for it by the new name from then on."),
                _("Once something was live there, or a key is made for it, the name stays."),
            ],
            submit_label=_("Rename"),
            cancel_url=self.url("change", environment.pk),
        )

    def freeze_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let nothing go live for a while."""
        environment = self.found(request, pk)
        actor = self.demand(request, self.write_capability, environment)
        form = FreezeForm(sent(request))

        def freeze(filled: dict[str, Any]) -> HttpResponse:
            environments.freeze(actor, environment, **filled)
            return self.said(request, gettext("The freeze is set."), self.url("change", environment.pk))

        return self.confirm(
            request,
            freeze,
            form=form,
            title=_("Freeze %(environment)s") % {"environment": environment},
            consequences=[_("Nothing goes live there in that time."), _("Going back works all the time.")],
            submit_label=_("Freeze"),
            cancel_url=self.url("change", environment.pk),
        )

    def thaw_page(self, request: HttpRequest, pk: int, window: int) -> HttpResponse:
        """End a freeze."""
        environment = self.found(request, pk)
        actor = self.demand(request, self.write_capability, environment)
        one = FreezeWindow.objects.filter(pk=window, environment=environment).select_related("environment").first()
        if one is None:
            raise FreezeNotFound

        def thaw(filled: dict[str, Any]) -> HttpResponse:
            environments.thaw(actor, one)
            return self.said(request, gettext("The freeze is over."), self.url("change", environment.pk))

        return self.confirm(
            request,
            thaw,
            title=_("End the freeze of %(environment)s") % {"environment": environment},
            lead=one.reason,
            consequences=[_("From now on things can go live there again.")],
            submit_label=_("End the freeze"),
            cancel_url=self.url("change", environment.pk),
        )
