"""What a person thinks of a prompt, on its page: a favourite, stars, and how much it is used."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.formats import localize
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, acting, sent
from prompts.admin.shown import crumbs
from prompts.models import Prompt, Rating
from prompts.services import favouring
from prompts.services.fields import said

MOST_RATINGS = 50


class StarsForm(HouseForm):
    """One to five stars, or none, and why."""

    stars = forms.ChoiceField(
        label=_("Your stars"),
        required=False,
        choices=[("", pgettext_lazy("stars", "None")), *((str(number), "★" * number) for number in range(5, 0, -1))],
    )
    note = forms.CharField(label=_("Why"), required=False, max_length=1000, widget=forms.Textarea(attrs={"rows": 3}))
    is_favourite = forms.BooleanField(label=_("Keep it among my favourites"), required=False)


class StandingPages(HouseAdmin):
    """Part of the prompt's admin, which has their addresses."""

    def standing_urls(self) -> list[Any]:
        return [self.own("<int:pk>/standing/", self.standing_page, "standing")]

    def standing_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what colleagues think; a POST keeps what the person thinks."""
        prompt = self.found(request, pk)
        actor = acting(request)
        mine = Rating.objects.filter(prompt=prompt, user=actor.user_id).first()
        initial = {
            "is_favourite": prompt.is_favourite,
            **({"stars": str(mine.stars), "note": mine.note} if mine else {}),
        }
        form = StarsForm(sent(request), initial=initial)

        def keep(filled: dict[str, Any]) -> HttpResponse:
            _keep(actor, prompt, filled)
            return self.said(request, gettext("Noted. Only your own stars changed."), self.url("change", prompt.pk))

        return self.form_page(
            request,
            form,
            keep,
            template="admin/prompts/standing.html",
            title=_("Stars for %(prompt)s") % {"prompt": prompt.title},
            summary=stars_label(prompt),
            ratings=Rating.objects.filter(prompt=prompt).with_names()[:MOST_RATINGS],
            submit_label=_("Save"),
            cancel_url=self.url("change", prompt.pk),
            breadcrumbs=crumbs(prompt),
        )


def _keep(actor: Principal, prompt: Prompt, filled: dict[str, Any]) -> None:
    """Call the verbs for what was said; each changes nothing when it is so already."""
    (favouring.add_favourite if filled["is_favourite"] else favouring.remove_favourite)(actor, prompt)
    if filled["stars"]:
        favouring.rate(actor, prompt, int(filled["stars"]), note=filled["note"])
    else:
        favouring.take_back_rating(actor, prompt)


def stars_label(prompt: Any) -> str:
    """Return `4.5 ★ (2)`: the average of the stars, and of how many people; a dash for none."""
    if not prompt.ratings_count:
        return "–"
    return f"{localize(round(prompt.stars, 1))} ★ ({localize(prompt.ratings_count)})"


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return gettext("Yes") if value else gettext("No")
    return str(localize(said(value) if isinstance(value, Decimal) else value))


def standing_of(actor: Principal, prompt: Any, url: str) -> dict[str, Any]:
    """Return what the prompt's page shows of its standing."""
    return {
        "url": url,
        "stars": stars_label(prompt),
        "uses": localize(prompt.uses_30d),
        "is_favourite": prompt.is_favourite,
        "fields": [(one.field.title, _in_words(one.value)) for one in prompt.fields_set],
    }
