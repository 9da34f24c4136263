"""The experiments and gradual launches of one prompt: a section of its pages, and what its header says of them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext

from experiments.admin.showing import KINDS
from experiments.models import Experiment, Ramp
from experiments.querysets import SERVING
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin
from promptlab.lib.errors import NotFound
from promptlab.lib.formats import fmt_pct
from prompts.admin import section as sections
from prompts.admin.section import Upstairs, section
from prompts.models import Prompt

READ = "experiment.read"
MOST = 100


class OfPromptPages(HouseAdmin):
    """Part of the experiments' admin, which has their address."""

    def of_prompt_urls(self) -> list[Any]:
        return [self.own("of/<int:pk>/", self.of_prompt_page, "of_prompt")]

    def of_prompt_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """List what was found out about a prompt by experiment, the newest first."""
        actor = self.demand(request, self.view_capability)
        prompt = Prompt.objects.visible_to(actor).for_section().filter(pk=pk).first()
        if prompt is None:
            raise NotFound("There is nothing at this address.")
        rows = Experiment.objects.visible_to(actor, READ).filter(prompt=prompt).with_names().order_by("-pk")[:MOST]
        may_write = actor.may(self.write_capability, prompt.team_id) and prompt.archived_at is None
        return self.page(
            request,
            "admin/experiments/of_prompt.html",
            rows=[self._row(experiment) for experiment in rows],
            ramps=Ramp.objects.visible_to(actor, READ).filter(experiment__prompt=prompt).with_names()[:MOST],
            new_url=f"{self.url('add')}?prompt={prompt.pk}" if may_write else "",
            **section(actor, prompt, "experiments"),
        )

    def _row(self, experiment: Experiment) -> dict[str, Any]:
        texts = [
            f"{variant} v{variant.version.number}, {fmt_pct(variant.weight_bp / 10_000, 0)}"
            for variant in experiment.variants.all()
        ]
        return {
            "experiment": experiment,
            "url": self.url("change", experiment.pk),
            "kind": KINDS[Experiment.State(experiment.state)],
            "texts": texts,
        }


def told_of(actor: Principal, prompt: Prompt) -> Upstairs:
    """Return how many experiments a prompt has had, and what runs on it now: one query."""
    states = Experiment.objects.visible_to(actor, READ).filter(prompt=prompt).values_list("state", "environment__name")
    found = list(states)
    running = [where for state, where in found if state in SERVING]
    notes = [(gettext("Experiment in %(environment)s") % {"environment": where}, "info") for where in running]
    return Upstairs({"experiments": len(found)}, tuple(notes))


sections.upstairs.append(told_of)
