"""What was tried, kept as an example: a case of a test suite, which later versions can be asked again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, asks, link, sent
from promptlab.chat.models import Message
from promptlab.lib.errors import NotFound
from promptlab.lib.slugs import free_slug
from prompts.checks.cases import MAX_NAME, Case
from prompts.models import Prompt, Suite, SuiteCase
from prompts.services import suites

MOST_EXAMPLES = 50
WRITE = "prompt.write"


class ExampleForm(HouseForm):
    """Where an example goes, and what it is called."""

    named = {"case_taken": "name"}
    suite = forms.ModelChoiceField(
        Suite.objects.none(), label=_("Examples"), required=False, empty_label=_("Begin a new set of examples")
    )
    name = forms.CharField(
        label=_("What it is about"), max_length=MAX_NAME, error_messages=asks(_("Say in a few words what it is about."))
    )
    is_expected = forms.BooleanField(
        label=_("The answer is what I expect"),
        required=False,
        help_text=_("It is kept as well, for checks that compare answers with it."),
    )


class ExamplePages(HouseAdmin):
    """Part of the admin of conversations, which has their address."""

    def example_urls(self) -> list[Any]:
        return [self.own("try/<int:pk>/example/", self.example_page, "example")]

    def example_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask which set of examples an answer of one's own is kept in; a POST keeps what it was asked with."""
        actor = self.demand(request, WRITE)
        answer, question = _asked(actor, pk)
        prompt = answer.conversation.prompt
        assert prompt is not None
        actor = self.demand_in(actor, prompt)
        rows = Suite.objects.visible_to(actor).for_prompt(prompt)
        form = ExampleForm(sent(request), initial={"name": question[:60], "suite": rows.first()})
        form.fields["suite"].queryset = rows  # type: ignore[attr-defined]
        back = f"{self.url('talk', answer.conversation_id)}#message-{answer.pk}"

        def keep(filled: dict[str, Any]) -> HttpResponse:
            suite = filled["suite"] or _new_suite(actor, prompt)
            said = {
                "name": filled["name"],
                "variables": answer.variables,
                "messages": [{"role": "user", "content": question}],
            }
            expected = {"expected": answer.content} if filled["is_expected"] else {}
            suites.add_case(actor, suite, Case.from_json({**said, **expected}))
            shown = link(reverse("admin:prompts_suite_change", args=[suite.pk]), suite.name)
            return self.said(request, format_html("{} {}", gettext("It is kept as an example in"), shown), back)

        return self.form_page(
            request,
            form,
            keep,
            title=_("Save as example"),
            lead=question[:200],
            submit_label=_("Save as example"),
            cancel_url=back,
            breadcrumbs=[{"label": _("Try it"), "url": back}],
        )

    @staticmethod
    def demand_in(actor: Principal, prompt: Prompt) -> Principal:
        """Return who acts; raise Forbidden for somebody who may not write in the prompt's team."""
        actor.team_for(WRITE, prompt.team_id)
        return actor


def examples_of(actor: Principal, prompt: Prompt, here: str) -> list[dict[str, Any]]:
    """Return the sets of examples of a prompt, each with its examples as links that fill the form: two queries."""
    rows = list(Suite.objects.visible_to(actor).for_prompt(prompt).order_by("name"))
    cases = SuiteCase.objects.filter(suite__in=rows).order_by("pk").only("pk", "name", "suite_id")[:MOST_EXAMPLES]
    by_suite: dict[int, list[SuiteCase]] = {}
    for case in cases:
        by_suite.setdefault(case.suite_id, []).append(case)
    may_run = actor.may(WRITE, prompt.team_id)
    mark = "&" if "?" in here else "?"
    return [
        {
            "name": suite.name,
            "examples": [{"name": one.name, "url": f"{here}{mark}example={one.pk}"} for one in by_suite[suite.pk]],
            "run_url": reverse("admin:prompts_suite_run", args=[suite.pk]) if may_run else "",
        }
        for suite in rows
        if suite.pk in by_suite
    ]


def example_named(actor: Principal, prompt: Prompt, asked: str) -> dict[str, Any]:
    """Return what an example of a prompt fills in: {"filled", "message"}; nothing for one that is not there."""
    if not asked.isdecimal():
        return {}
    suites_of = Suite.objects.visible_to(actor).for_prompt(prompt)
    case = SuiteCase.objects.filter(suite__in=suites_of, pk=int(asked)).first()
    if case is None:
        return {}
    said = [one["content"] for one in case.messages if one.get("role") == "user"]
    return {"filled": case.variables, "message": said[-1] if said else ""}


def _asked(actor: Principal, pk: int) -> tuple[Message, str]:
    """Return an answer in a talk of one's own, and the question before it. Raises NotFound."""
    mine = Message.objects.answers().filter(pk=pk, conversation__author_id=actor.user_id, purged_at=None)
    answer = mine.select_related("conversation__prompt").first()
    if answer is None or answer.conversation.prompt is None:
        raise NotFound("There is nothing at this address.")
    before = Message.objects.filter(conversation=answer.conversation, role=Message.Role.USER, pk__lt=pk)
    return answer, before.order_by("-pk").values_list("content", flat=True).first() or ""


def _new_suite(actor: Principal, prompt: Prompt) -> Suite:
    """Make the prompt's own set of examples."""
    rows = Suite.objects.active().filter(team=prompt.team_id)

    def taken(stem: str) -> list[str]:
        return list(rows.filter(name__startswith=stem).values_list("name", flat=True))

    name = free_slug(f"{prompt.name} examples".lower(), "examples", taken, longest=100)
    return suites.create_suite(actor, prompt.team_id, name=name, prompt=prompt)
