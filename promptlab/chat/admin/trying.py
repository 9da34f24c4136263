"""Trying a prompt as its users would: choose a text of it, fill in its blanks, talk. The same verbs as `POST /chat`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, acting, link, sent
from promptlab.chat.admin.streaming import event_response
from promptlab.chat.admin.try_forms import (
    MODEL,
    MOST_PROMPTS,
    PickForm,
    SayForm,
    TitleForm,
    chosen_model,
    texts_of,
)
from promptlab.chat.admin.turns import facts_of, turn_shown
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services import conversations
from promptlab.chat.services.streams import Place
from promptlab.chat.services.trying import answer_whole, leave_loop
from promptlab.chat.services.turn import Broken, Done, Token, TurnInput, prepare_turn, stream_turn
from promptlab.lib import problem, sse
from promptlab.lib.errors import DomainError, Forbidden, NotFound
from promptlab.lib.logs import get_logger
from promptlab.lib.ratelimit import Limit, check
from promptlab.lib.threads import run_db
from prompts import resolve
from prompts.errors import NotDeployed, VersionNotFound
from prompts.models import Prompt, Version

log = get_logger(__name__)
CAPABILITY = "chat.use"
MOST_TALKS = 30
MOST_TURNS = 200
STREAM = "text/event-stream"
Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OwnRating:
    """What the person thinks of an answer so far (`value` None: nothing), and where they say so."""

    url: str
    value: int | None = None
    comment: str = ""


own_ratings: list[Callable[[Principal, Sequence[Message]], Mapping[int, OwnRating]]] = []
"""Functions that tell how answers are rated, by their ids. Feedback lives above chat and adds itself here."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: the prompt, which text of it (`choice`), that text, who answers; `talk` None: it is to begin."""

    prompt: Prompt | None = None
    choice: str = ""
    version: Version | None = None
    model: str = ""
    talk: Conversation | None = None
    problem: str = ""


class TryPages(HouseAdmin):
    """Part of the admin of conversations, which has their addresses. Everybody sees their own talks only."""

    def own_urls(self) -> list[Any]:
        return [
            self.own("try/", self.try_page, "try"),
            self.own("try/<int:pk>/", self.talk_page, "talk"),
            self.own("try/<int:pk>/rename/", self.rename_page, "rename"),
            self.own("try/<int:pk>/archive/", self.archive_page, "archive"),
        ]

    def try_page(self, request: HttpRequest) -> HttpResponse:
        """Begin a talk: a GET chooses what is tried, a POST says the first thing."""
        actor = self.demand(request, CAPABILITY)
        trial = self._begun(request, actor)
        if trial.prompt is not None:
            self.demand_of_team(actor, trial.prompt.team_id)
        return self._page(request, trial)

    def talk_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show a talk of one's own, and go on with it."""
        return self._page(request, self._gone_on(request, self._talk(request, pk)))

    def rename_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Name a talk of one's own."""
        talk = self._talk(request, pk)
        form = TitleForm(sent(request))
        if request.method == "POST" and form.is_valid():
            conversations.rename_conversation(acting(request), talk, form.cleaned_data["title"])
            return self.said(request, gettext("The talk has its name."), self.url("talk", pk))
        for said in form.errors.get("title", ()) if request.method == "POST" else ():
            messages.error(request, said)
        return HttpResponseRedirect(self.url("talk", pk))

    def archive_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Put a talk of one's own away, or bring it back."""
        talk = self._talk(request, pk)
        if request.method != "POST":
            return HttpResponseRedirect(self.url("talk", pk))
        if talk.archived_at is None:
            conversations.archive_conversation(acting(request), talk)
            said = format_html(
                "{} {}", gettext("The talk is put away."), link(self.url("talk", pk), gettext("Look at it"))
            )
            return self.said(request, said, self.url("try"))
        conversations.unarchive_conversation(acting(request), talk)
        return self.said(request, gettext("The talk is back in the list."), self.url("talk", pk))

    @staticmethod
    def demand_of_team(actor: Principal, team_id: int) -> None:
        """Raise Forbidden for somebody who may not ask models in the prompt's team."""
        actor.team_for(CAPABILITY, team_id)

    def _talk(self, request: HttpRequest, pk: int) -> Conversation:
        """Return a talk of the person's own. Raises NotFound for all others, and where its prompt became private."""
        rows = Conversation.objects.visible_to(acting(request), CAPABILITY).filter(author_id=acting(request).user_id)
        rows = rows.without_private(acting(request), "prompt__").with_titles()
        found: Conversation | None = rows.filter(pk=pk, prompt__isnull=False).first()
        if found is None:
            raise NotFound("There is nothing at this address.")
        return found

    def _begun(self, request: HttpRequest, actor: Principal) -> Trial:
        """Return what the address says is to be tried. Raises NotFound for a prompt out of sight."""
        wanted = request.GET.get("prompt", "")
        if not wanted:
            return Trial()
        found = Prompt.objects.visible_to(actor).filter(pk=int(wanted)).first() if wanted.isdecimal() else None
        if found is None:
            raise NotFound("There is nothing at this address.")
        return _trial(found, request.GET, None)

    def _gone_on(self, request: HttpRequest, talk: Conversation) -> Trial:
        """Return what is tried in a talk: as the address says, else as the last time."""
        assert talk.prompt is not None
        last = Message.objects.answers().filter(conversation=talk).order_by("-pk").first()
        before = {name: str(value) for name, value in last.metadata.items()} if last else {}
        return _trial(talk.prompt, {**before, **request.GET.dict()}, talk)

    def _page(self, request: HttpRequest, trial: Trial) -> HttpResponse:
        form = SayForm(sent(request), version=trial.version, filled=_filled_before(trial.talk))
        if request.method == "POST" and trial.version is not None and form.is_valid():
            if STREAM in request.headers.get("Accept", ""):
                return self._streamed(request, trial, form)
            done, trial = self._whole(request, trial, form)
            if done is not None:
                return done
        return self.page(request, "admin/chat/try.html", **self._shown(request, trial, form))

    def _whole(self, request: HttpRequest, trial: Trial, form: SayForm) -> tuple[HttpResponse | None, Trial]:
        """Have the whole answer and go where it stands. None: the page says what is wrong, with what was typed."""
        try:
            who = _who(request)
            check(_tries(), who).enforce()
            with Place(who):
                plan = prepare_turn(acting(request), _turn(trial, form))
                trial = replace(trial, talk=trial.talk or self._talk(request, plan.answer.conversation_id))
                answer_whole(plan)
        except DomainError as error:
            if isinstance(error, Forbidden):
                raise
            form.refuse(error)
            return None, trial
        url = self.url("talk", plan.answer.conversation_id)
        return HttpResponseRedirect(f"{url}#message-{plan.answer.pk}"), trial

    def _streamed(self, request: HttpRequest, trial: Trial, form: SayForm) -> HttpResponse:
        """Tell the answer as it is written."""
        turn = _turn(trial, form)
        return event_response(request, self._told(acting(request), _who(request), turn, trial.talk), leave_loop)

    async def _told(
        self, actor: Principal, who: str, turn: TurnInput, talk: Conversation | None
    ) -> AsyncGenerator[bytes]:
        """Yield the pieces of an answer, then where it stands; or what went wrong, and where its row stands if it has one."""
        url = self.url("talk", talk.pk) if talk else ""
        try:
            (await run_db(check, _tries(), who)).enforce()
            with Place(who):
                plan = await run_db(prepare_turn, actor, turn)
                url = self.url("talk", plan.answer.conversation_id)
                async with aclosing(stream_turn(plan)) as events:
                    async for event in events:
                        if isinstance(event, Token):
                            yield sse.encode({"token": event.text})
                        elif isinstance(event, Broken):
                            yield sse.encode({"error": event.error.told, "url": url})
                        elif isinstance(event, Done):
                            yield sse.encode({"done": True, "url": url, "id": f"message-{plan.answer.pk}"})
        except DomainError as error:
            yield sse.encode({"error": error.told, "url": url})
        except Exception:
            log.exception("trial_crashed")
            yield sse.encode({"error": problem.Unexpected().told, "url": url})

    def _shown(self, request: HttpRequest, trial: Trial, form: SayForm) -> dict[str, Any]:
        actor, talk = acting(request), trial.talk
        here = self.url("talk", talk.pk) if talk else self.url("try")
        return {
            "title": _("Try it"),
            "subtitle": talk.shown_title if talk else "",
            "talk": talk,
            "trial": trial,
            "pick": self._pick(actor, trial),
            "form": form,
            "here": here,
            "action": _address(here, trial),
            "turns": self._turns(actor, talk) if talk else [],
            "title_form": TitleForm(initial={"title": talk.title}) if talk else None,
            "talks": self._talks(actor, talk, is_archived="archived" in request.GET),
            "shows_archived": "archived" in request.GET,
            "urls": {
                "new": _address(self.url("try"), trial) if trial.prompt else self.url("try"),
                "rename": self.url("rename", talk.pk) if talk else "",
                "archive": self.url("archive", talk.pk) if talk else "",
                "all": self.url("changelist"),
                "prompt": reverse("admin:prompts_prompt_change", args=[trial.prompt.pk]) if trial.prompt else "",
                "new_prompt": reverse("admin:prompts_prompt_add"),
                "estimate": "/api/v1/estimate",
            },
            "counted_for": (trial.model.removeprefix(MODEL) if trial.model.startswith(MODEL) else "")
            or (trial.version.model if trial.version else ""),
            "may_write": actor.may_anywhere("prompt.write"),
            "breadcrumbs": [],
        }

    def _pick(self, actor: Principal, trial: Trial) -> PickForm | None:
        """Return the form that says what is tried; None where there is no prompt to choose."""
        if trial.talk is not None:
            assert trial.prompt is not None
            prompts = [trial.prompt]
        else:
            rows = Prompt.objects.visible_to(actor).active().filter(team__in=actor.teams_with(CAPABILITY))
            prompts = list(rows.order_by("-updated_at").only("title")[:MOST_PROMPTS])
            if trial.prompt is not None and trial.prompt not in prompts:
                prompts.append(trial.prompt)
            prompts.sort(key=lambda one: one.title.casefold())
        if not prompts:
            return None
        initial = {"prompt": trial.prompt, "text": trial.choice, "model": trial.model}
        texts = texts_of(trial.prompt) if trial.prompt else []
        return PickForm(prompts=prompts, prompt=trial.prompt, texts=texts, initial=initial, auto_id="pick_%s")

    def _turns(self, actor: Principal, talk: Conversation) -> list[dict[str, Any]]:
        """Return what was said, with what each answer took and what the person thinks of it."""
        rows = Message.objects.filter(conversation=talk).with_hidden(actor, "version__prompt__")
        rows = rows.select_related("version", "experiment", "assigned_variant", "served_variant", "environment")
        said = list(rows.defer("version__text", "version__messages").order_by("-pk")[:MOST_TURNS])[::-1]
        answers = [one for one in said if one.is_answer]
        facts = facts_of(answers)
        rated: dict[int, OwnRating] = {}
        for find in own_ratings:
            rated |= find(actor, [one for one in answers if one.ended_at])
        return [{**turn_shown(one, facts.get(one.pk, [])), "rating": rated.get(one.pk)} for one in said]

    def _talks(self, actor: Principal, current: Conversation | None, *, is_archived: bool) -> list[dict[str, Any]]:
        """Return the person's own talks, the latest first."""
        rows = Conversation.objects.visible_to(actor, CAPABILITY).filter(author_id=actor.user_id)
        rows = rows.without_private(actor, "prompt__").filter(archived_at__isnull=not is_archived, prompt__isnull=False)
        return [
            {
                "title": one.shown_title,
                "about": one.prompt.title if one.prompt else "",
                "url": self.url("talk", one.pk),
                "at": one.created_at,
                "is_current": current is not None and one.pk == current.pk,
            }
            for one in rows.with_titles().order_by("-pk")[:MOST_TALKS]
        ]


def _trial(prompt: Prompt, asked: Query, talk: Conversation | None) -> Trial:
    """Return what is tried of a prompt: what was asked for, else what is live in Production, else the newest version."""
    choice = asked.get("text", "")
    try:
        if choice:
            return Trial(prompt, choice, _version_of(prompt, choice), asked.get("model", ""), talk)
        choice = "production"
        return Trial(prompt, choice, _version_of(prompt, choice), asked.get("model", ""), talk)
    except (NotDeployed, VersionNotFound) as error:
        if asked.get("text"):
            return Trial(prompt, choice, None, asked.get("model", ""), talk, error.told)
    newest = resolve.version_of(prompt, "latest")
    return Trial(prompt, str(newest.number), newest, asked.get("model", ""), talk)


def _version_of(prompt: Prompt, choice: str) -> Version:
    """Return the version of a number, or that is live in an environment. Raises VersionNotFound, NotDeployed."""
    if choice.isdecimal():
        return resolve.version_of(prompt, choice)
    return resolve.live_version(prompt.team_id, prompt.name, choice).version


def _turn(trial: Trial, form: SayForm) -> TurnInput:
    assert trial.prompt is not None
    return TurnInput(
        message=form.cleaned_data["message"],
        prompt=f"{trial.prompt.name}@{trial.choice}",
        variables=form.variables(),
        conversation_id=str(trial.talk.uid) if trial.talk else "",
        team_id=trial.prompt.team_id,
        purpose=Message.Purpose.TRY,
        metadata={"text": trial.choice, "model": trial.model},
        **chosen_model(trial.model),
    )


def _filled_before(talk: Conversation | None) -> Mapping[str, Any]:
    """Return what the blanks were filled with the last time."""
    last = Message.objects.answers().filter(conversation=talk).order_by("-pk").first() if talk else None
    return last.variables if last else {}


def _who(request: HttpRequest) -> str:
    return f"user:{acting(request).user_id}"


def _tries() -> Limit:
    """Return how often a person may try something: nobody else limits what they ask of models."""
    return Limit("tries", settings.RATE_LIMIT_TRIES_PER_HOUR, of="tries")


def _address(page: str, trial: Trial) -> str:
    """Return a page's address with what is tried on it."""
    asked = {"prompt": trial.prompt.pk if trial.prompt and not trial.talk else "", "text": trial.choice}
    asked["model"] = trial.model
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"{page}?{query}" if query else page
