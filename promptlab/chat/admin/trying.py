"""Trying a prompt as its users would: choose a text of it, fill in its blanks, talk. The same verbs as `POST /chat`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, acting, link, sent
from promptlab.chat.admin.examples import example_named, examples_of
from promptlab.chat.admin.streaming import event_response
from promptlab.chat.admin.trials import (
    CAPABILITY,
    Trial,
    address_of,
    last_answer,
    own_text_for,
    trial_of,
    tries,
    turn_of,
    who_tries,
)
from promptlab.chat.admin.try_forms import (
    MODEL,
    MOST_PROMPTS,
    PickForm,
    SayForm,
    TitleForm,
    texts_of,
)
from promptlab.chat.admin.turns import facts_of, turn_shown
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services import conversations
from promptlab.chat.services.streams import Place
from promptlab.chat.services.trying import answer_whole, leave_loop
from promptlab.chat.services.turn import Broken, Done, Token, TurnInput, prepare_turn, stream_turn
from promptlab.chat.transcripts import sent_messages
from promptlab.lib import problem, sse
from promptlab.lib.errors import DomainError, Forbidden, NotFound
from promptlab.lib.logs import get_logger
from promptlab.lib.ratelimit import check
from promptlab.lib.threads import run_db
from prompts.admin.section import section
from prompts.models import Prompt

log = get_logger(__name__)
MOST_TALKS = 30
MOST_TURNS = 200
STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class OwnRating:
    """What the person thinks of an answer so far (`value` None: nothing), and where they say so."""

    url: str
    value: int | None = None
    comment: str = ""


own_ratings: list[Callable[[Principal, Sequence[Message]], Mapping[int, OwnRating]]] = []
"""Functions that tell how answers are rated, by their ids. Feedback lives above chat and adds itself here."""


class TryPages(HouseAdmin):
    """Part of the admin of conversations, which has their addresses. Everybody sees their own talks only."""

    def try_urls(self) -> list[Any]:
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
        found.prompt = Prompt.objects.for_section().get(pk=found.prompt_id)
        return found

    def _begun(self, request: HttpRequest, actor: Principal) -> Trial:
        """Return what the address says is to be tried. Raises NotFound for a prompt out of sight."""
        wanted = request.GET.get("prompt", "")
        if not wanted:
            return Trial()
        rows = Prompt.objects.visible_to(actor).for_section()
        found = rows.filter(pk=int(wanted)).first() if wanted.isdecimal() else None
        if found is None:
            raise NotFound("There is nothing at this address.")
        return trial_of(found, request.GET, None)

    def _gone_on(self, request: HttpRequest, talk: Conversation) -> Trial:
        """Return what is tried in a talk: as the address says, else as the last time."""
        assert talk.prompt is not None
        last = last_answer(talk)
        before = {name: str(value) for name, value in last.metadata.items()} if last else {}
        return replace(trial_of(talk.prompt, {**before, **request.GET.dict()}, talk), last=last)

    def _page(self, request: HttpRequest, trial: Trial) -> HttpResponse:
        example: dict[str, Any] = {}
        if trial.prompt is not None and "example" in request.GET:
            example = example_named(acting(request), trial.prompt, request.GET["example"])
        form = SayForm(
            sent(request),
            version=trial.version,
            filled=example.get("filled", trial.last.variables if trial.last else {}),
            initial={"message": example.get("message", "")},
        )
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
            who = who_tries(request)
            check(tries(), who).enforce()
            with Place(who):
                plan = prepare_turn(acting(request), turn_of(trial, form))
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
        turn = turn_of(trial, form)
        return event_response(request, self._told(acting(request), who_tries(request), turn, trial.talk), leave_loop)

    async def _told(
        self, actor: Principal, who: str, turn: TurnInput, talk: Conversation | None
    ) -> AsyncGenerator[bytes]:
        """Yield the pieces of an answer, then where it stands; or what went wrong, and where its row stands if it has one."""
        url = self.url("talk", talk.pk) if talk else ""
        try:
            (await run_db(check, tries(), who)).enforce()
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
            "action": address_of(here, trial),
            "turns": self._turns(actor, talk) if talk else [],
            "title_form": TitleForm(initial={"title": talk.title}) if talk else None,
            "talks": self._talks(actor, talk, is_archived="archived" in request.GET),
            "shows_archived": "archived" in request.GET,
            "received": _received(trial.last),
            "received_text_for": trial.last.text_for if trial.last else "",
            "own_text_for": own_text_for(trial),
            "may_keep": trial.prompt is not None and actor.may("prompt.write", trial.prompt.team_id),
            "example_sets": examples_of(actor, trial.prompt, address_of(here, trial)) if trial.prompt else [],
            "urls": {
                "side": f"{self.url('side')}?{urlencode({'prompt': trial.prompt.pk})}" if trial.prompt else "",
                "new": address_of(self.url("try"), trial) if trial.prompt else self.url("try"),
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
            **(section(actor, trial.prompt, "try") if trial.prompt else {}),
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
        return [
            {
                **turn_shown(one, facts.get(one.pk, [])),
                "rating": rated.get(one.pk),
                "example_url": self.url("example", one.pk) if one.is_answer and one.content else "",
            }
            for one in said
        ]

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


def _received(last: Message | None) -> list[dict[str, str]]:
    """Return what the model got for the last answer of a talk, message by message; nothing where that is gone."""
    try:
        found = sent_messages(last) if last else []
    except DomainError:
        return []
    return [{"role": one.role, "text": one.content} for one in found]
