"""The same question to two texts of a prompt, or to two models, with both answers side by side."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, acting, sent
from promptlab.chat.admin.trials import CAPABILITY, Trial, trial_of, tries, turn_of, who_tries
from promptlab.chat.admin.try_forms import SayForm, SideForm, texts_of
from promptlab.chat.admin.turns import facts_of, turn_shown
from promptlab.chat.models import Message
from promptlab.chat.services.streams import Place
from promptlab.chat.services.trying import answer_all
from promptlab.chat.services.turn import prepare_turn
from promptlab.lib.errors import DomainError, Forbidden, NotFound
from promptlab.lib.ratelimit import check
from prompts.admin.section import section
from prompts.models import Prompt

ASKED = ("text", "model", "other_text", "other_model")


class SidePages(HouseAdmin):
    """Part of the admin of conversations, which has their address."""

    def side_urls(self) -> list[Any]:
        return [self.own("try/side/", self.side_page, "side")]

    def side_page(self, request: HttpRequest) -> HttpResponse:
        """Choose two, say something; both answer at the same time, each in a talk of its own."""
        actor = self.demand(request, CAPABILITY)
        if "prompt" not in request.GET:
            return HttpResponseRedirect(self.url("try"))
        prompt = _prompt(actor, request.GET.get("prompt", ""))
        actor.team_for(CAPABILITY, prompt.team_id)
        trials = _both(request, prompt)
        answers = _answers(actor, prompt, [request.GET.get("a", ""), request.GET.get("b", "")])
        before = answers[0] if answers else None
        form = SayForm(
            sent(request),
            version=trials[0].version,
            other=trials[1].version,
            filled={**(answers[1].variables if answers else {}), **(before.variables if before else {})},
            initial={"message": _question(before) if before else ""},
        )
        ready = all(one.version for one in trials)
        if request.method == "POST" and ready and form.is_valid():
            done = self._asked(request, trials, form)
            if done is not None:
                return done
        texts = texts_of(prompt)
        initial = {"prompt": prompt, **_said(trials)}
        facts = facts_of(answers)
        return self.page(
            request,
            "admin/chat/side.html",
            pick=SideForm(prompt=prompt, texts=texts, initial=initial, auto_id="pick_%s"),
            form=form,
            is_ready=ready,
            problems=[one.problem for one in trials if one.problem],
            action=f"{self.url('side')}?{urlencode({'prompt': prompt.pk, **_said(trials)})}",
            here=self.url("side"),
            heads=[_head(one, dict(texts)) for one in trials],
            turns=[
                {
                    **turn_shown(one, facts[one.pk]),
                    "url": self.url("talk", one.conversation_id),
                    "error": one.error_code,
                }
                for one in answers
            ],
            **section(actor, prompt, "try"),
        )

    def _asked(self, request: HttpRequest, trials: list[Trial], form: SayForm) -> HttpResponse | None:
        """Ask both and go where their answers stand. None: the page says what is wrong, with what was typed."""
        actor, who = acting(request), who_tries(request)
        try:
            for _ in trials:
                check(tries(), who).enforce()
            with Place(who):
                plans = [prepare_turn(actor, turn_of(trial, form)) for trial in trials]
                problems = answer_all(plans)
        except DomainError as error:
            if isinstance(error, Forbidden):
                raise
            form.refuse(error)
            return None
        if all(problems):
            assert problems[0] is not None
            form.refuse(problems[0])
            return None
        found = {"a": plans[0].answer.conversation_id, "b": plans[1].answer.conversation_id}
        asked = {"prompt": request.GET.get("prompt", ""), **_said(trials), **found}
        return HttpResponseRedirect(f"{self.url('side')}?{urlencode(asked)}#answers")


def _prompt(actor: Principal, asked: str) -> Prompt:
    rows = Prompt.objects.visible_to(actor).for_section()
    found: Prompt | None = rows.filter(pk=int(asked)).first() if asked.isdecimal() else None
    if found is None:
        raise NotFound("There is nothing at this address.")
    return found


def _both(request: HttpRequest, prompt: Prompt) -> list[Trial]:
    """Return the two that are tried. Without a choice: what is tried usually, and the newest version."""
    said = {name: request.GET.get(name, "") for name in ASKED}
    one = trial_of(prompt, {"text": said["text"], "model": said["model"]}, None)
    assert prompt.newest is not None
    other_text = said["other_text"] or str(prompt.newest.number)
    return [one, trial_of(prompt, {"text": other_text, "model": said["other_model"]}, None)]


def _said(trials: list[Trial]) -> dict[str, str]:
    one, other = trials
    return {"text": one.choice, "model": one.model, "other_text": other.choice, "other_model": other.model}


def _head(trial: Trial, texts: dict[str, Any]) -> str:
    text = str(texts.get(trial.choice, trial.choice))
    return f"{text}, {trial.model.partition(':')[2]}" if trial.model else text


def _answers(actor: Principal, prompt: Prompt, talks: list[str]) -> list[Any]:
    """Return the last answers of two talks of one's own about this prompt; none unless both are there."""
    if not all(one.isdecimal() for one in talks):
        return []
    mine = Message.objects.answers().filter(conversation__author_id=actor.user_id, conversation__prompt=prompt)
    mine = mine.with_hidden(actor, "version__prompt__").select_related("version", "experiment", "conversation")
    mine = mine.select_related("assigned_variant", "served_variant", "environment").order_by("pk")
    found = {row.conversation_id: row for row in mine.filter(conversation__in=[int(one) for one in talks])}
    rows = [found.get(int(one)) for one in talks]
    return rows if all(rows) else []


def _question(answer: Message) -> str:
    asked = Message.objects.filter(conversation=answer.conversation_id, role=Message.Role.USER, pk__lt=answer.pk)
    return asked.order_by("-pk").values_list("content", flat=True).first() or ""
