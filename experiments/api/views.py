"""Experiments over REST: make, read, act, see where a unit falls, read results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from promptlab_sdk.kernel.assignment import MAX_UNIT_ID, unit_of
from promptlab_sdk.kernel.condition import attribute_problems
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from experiments import results
from experiments.api.serializers import (
    ActIn,
    AssignmentOut,
    ConclusionIn,
    CoverageIn,
    ExperimentEditIn,
    ExperimentIn,
    ExperimentOut,
    ItemOut,
    OverridesIn,
    PhaseOut,
    SharesIn,
    StartIn,
)
from experiments.deciding import decide, signed, steps
from experiments.errors import ExperimentNotFound
from experiments.models import Experiment
from experiments.services import checklist, concluding, drafting, lifecycle, phasing, targeting
from experiments.services.concluding import Conclusion
from experiments.services.drafting import DraftChanges
from experiments.services.lifecycle import NewVariant
from experiments.services.targeting import Setup
from experiments.specs import experiment_now
from promptlab.accounts.rest import HouseView, id_in
from promptlab.lib.errors import Invalid
from prompts import resolve
from prompts.errors import PromptArchived
from prompts.models import Prompt, Version
from prompts.services.environments import named


class OfExperiments(HouseView, GenericAPIView[Experiment]):
    """Views that find an experiment by its id or key."""

    serializer_class = ExperimentOut
    queryset = Experiment.objects.none()
    filter_backends = ()

    def experiment(self, reference: str) -> Experiment:
        """Return an experiment the caller sees. Raises ExperimentNotFound."""
        rows = Experiment.objects.visible_to(self.principal, "experiment.read").with_names()
        by = {"pk": id_in(reference)} if reference.isdecimal() else {"key": reference}
        found = rows.filter(**by).first()
        if found is None:
            raise ExperimentNotFound(key=reference[:100])
        return found

    def checked(self, shape: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Return the checked body. Raises a 400 naming the fields."""
        if not isinstance(self.request.data, Mapping):
            raise Invalid("The body must be a JSON object.", code="invalid_json")
        found = shape(data=self.request.data)
        found.is_valid(raise_exception=True)
        return dict(found.validated_data)


class ExperimentList(OfExperiments):
    @extend_schema(responses=ExperimentOut(many=True))
    def get(self, request: Request) -> Response:
        """List experiments, newest first."""
        rows = Experiment.objects.visible_to(self.principal, "experiment.read").with_names().order_by("-id")
        return self.get_paginated_response(ExperimentOut(self.paginate_queryset(rows), many=True).data)

    @extend_schema(request=ExperimentIn, responses={201: ExperimentOut})
    def post(self, request: Request) -> Response:
        """Make a draft. The first variant is the control."""
        body = self.checked(ExperimentIn)
        prompt = _prompt(self, body)
        made = lifecycle.create_experiment(
            self.principal,
            prompt,
            named(prompt.team_id, body["environment"]),
            title=body["title"],
            key=body.get("key", ""),
            hypothesis=body.get("hypothesis", ""),
            coverage_bp=body.get("coverage_bp", 10_000),
            variants=[_variant(prompt, index, part) for index, part in enumerate(body["variants"])],
            setup=_setup(body),
        )
        return Response(ExperimentOut(self.experiment(str(made.pk))).data, status=status.HTTP_201_CREATED)


class ExperimentDetail(OfExperiments):
    def get(self, request: Request, reference: str) -> Response:
        """Return one experiment."""
        return Response(ExperimentOut(self.experiment(reference)).data)

    @extend_schema(operation_id="experiments_edit", request=ExperimentEditIn, responses=ExperimentOut)
    def patch(self, request: Request, reference: str) -> Response:
        """Change a draft, all of it or nothing. One that was started keeps its setup."""
        one = self.experiment(reference)
        body = self.checked(ExperimentEditIn)
        plain = {name: body[name] for name in ("title", "hypothesis", "coverage_bp") if name in body}
        if "environment" in body:
            plain["environment"] = named(one.team_id, body["environment"])
        if "variants" in body:
            plain["variants"] = [_variant(one.prompt, index, part) for index, part in enumerate(body["variants"])]
        drafting.edit_draft(self.principal, one, DraftChanges(**plain, setup=_said_of_setup(body)))
        return Response(ExperimentOut(self.experiment(reference)).data)


class ExperimentAct(OfExperiments):
    @extend_schema(operation_id="experiments_act", request=StartIn, responses=ExperimentOut)
    def post(self, request: Request, reference: str, verb: str) -> Response:
        """Start, pause, resume, stop or kill. Effective everywhere within a second of the answer."""
        one = self.experiment(reference)
        body = self.checked(StartIn)
        confirmed = {"confirm": body.get("confirm", False)} if verb == "start" else {}
        lifecycle.VERBS[verb](self.principal, one, note=body.get("note", ""), **confirmed)
        return Response(ExperimentOut(self.experiment(reference)).data)


class Conclude(OfExperiments):
    @extend_schema(request=ConclusionIn, responses=ExperimentOut)
    def post(self, request: Request, reference: str) -> Response:
        """End it with an outcome, what was learned, and which text stays; put that live if wanted."""
        one = self.experiment(reference)
        concluding.conclude(self.principal, one, Conclusion(**self.checked(ConclusionIn)))
        return Response(ExperimentOut(self.experiment(reference)).data)


class Checklist(OfExperiments):
    pagination_class = None

    @extend_schema(responses=ItemOut(many=True))
    def get(self, request: Request, reference: str) -> Response:
        """List what has to be so before it may start, met or not; starting asks the same."""
        return Response(ItemOut(checklist.checklist(self.experiment(reference), by=self.principal), many=True).data)


class Overrides(OfExperiments):
    @extend_schema(request=OverridesIn, responses=ExperimentOut)
    def put(self, request: Request, reference: str) -> Response:
        """Say who tries which variant out. In force everywhere within a second; these units are not counted."""
        one = self.experiment(reference)
        targeting.set_overrides(self.principal, one, self.checked(OverridesIn)["overrides"])
        return Response(ExperimentOut(self.experiment(reference)).data)


class Shares(OfExperiments):
    @extend_schema(request=SharesIn, responses=ExperimentOut)
    def post(self, request: Request, reference: str) -> Response:
        """Begin a phase with other shares, variants more or fewer; as few users as can be get another text."""
        one = self.experiment(reference)
        body = self.checked(SharesIn)
        parts = list(enumerate(body["variants"]))
        new = [_variant(one.prompt, index, part) for index, part in parts if _is_new(part)]
        weights = {part["key"]: part["weight_bp"] for _, part in parts if not _is_new(part)}
        phasing.change_shares(self.principal, one, weights, new=new, note=body.get("note", ""))
        return Response(ExperimentOut(self.experiment(reference)).data)


class Coverage(OfExperiments):
    @extend_schema(request=CoverageIn, responses=ExperimentOut)
    def post(self, request: Request, reference: str) -> Response:
        """Let more or fewer of all users take part. Nobody changes from one variant to another."""
        one = self.experiment(reference)
        body = self.checked(CoverageIn)
        phasing.change_coverage(self.principal, one, body["coverage_bp"], note=body.get("note", ""))
        return Response(ExperimentOut(self.experiment(reference)).data)


class DealAnew(OfExperiments):
    @extend_schema(request=ActIn, responses=ExperimentOut)
    def post(self, request: Request, reference: str) -> Response:
        """Begin a phase in which every user is dealt anew. `note` says why."""
        one = self.experiment(reference)
        phasing.deal_anew(self.principal, one, note=self.checked(ActIn).get("note", ""))
        return Response(ExperimentOut(self.experiment(reference)).data)


class Phases(OfExperiments):
    pagination_class = None

    @extend_schema(responses=PhaseOut(many=True))
    def get(self, request: Request, reference: str) -> Response:
        """List how the units were dealt, phase by phase."""
        return Response(PhaseOut(self.experiment(reference).phases.all(), many=True).data)


class AssignmentView(OfExperiments):
    @extend_schema(parameters=[OpenApiParameter("unit_id")], responses=AssignmentOut)
    def get(self, request: Request, reference: str) -> Response:
        """Say which variant a unit gets and why, without recording anything. Other parameters are its attributes."""
        one = self.experiment(reference)
        unit_id = request.query_params.get("unit_id", "")
        if len(unit_id) > MAX_UNIT_ID or not (unit_id or one.unit_attribute):
            raise Invalid.field("unit_id", f"Send unit_id, 1 to {MAX_UNIT_ID} characters.", code="required")
        attributes = _attributes(request.query_params.dict(), one.unit_attribute)
        spec = experiment_now(one)
        found = decide(spec, unit_id, attributes)
        unit = unit_of(spec, unit_id, attributes) or ""
        shown = {
            "experiment": one.key,
            "unit_id": unit,
            "phase": one.phase,
            "state": one.state,
            "variant": found.variant.key,
            "version": found.variant.prompt.version,
            "is_assigned": found.assigned,
            "slot": found.slot,
            "reason": found.reason,
            "forced": found.is_forced,
            "rules": [asdict(step) for step in steps(spec, unit, found)],
            "receipt": signed(one, found, unit),
        }
        return Response(shown)


class Results(OfExperiments):
    @extend_schema(responses={200: dict})
    def get(self, request: Request, reference: str) -> Response:
        """Return the counts and approval of each variant, as the dashboard shows them."""
        return Response(results.as_json(results.results(self.experiment(reference))))


SAID_PLAINLY = ("condition", "overrides", "is_sticky", "primary_metric", "guardrails", "planned_size", "unit_attribute")


def _setup(body: dict[str, Any]) -> Setup:
    return Setup(**_said_of_setup(body))


def _said_of_setup(body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `Setup` that a body names."""
    said = {name: body[name] for name in SAID_PLAINLY if name in body}
    if "namespace" in body:
        place = body["namespace"] or {"key": "", "ranges": []}
        said |= {"namespace": place["key"], "namespace_ranges": place["ranges"]}
    return said


def _attributes(given: Mapping[str, str], dealt: str) -> dict[str, Any]:
    """Return the other query parameters as attributes: numbers, true and false as such, a JSON string as its text.

    What the experiment has `dealt` stays the text it is.
    """
    found: dict[str, Any] = {}
    for name, text in given.items():
        if name == dealt:
            found[name] = text
        elif name != "unit_id":
            try:
                value = json.loads(text)
            except ValueError:
                value = text
            found[name] = value if isinstance(value, str | int | float) else text
    if problems := attribute_problems(found):
        raise Invalid.field(problems[0].path or "attributes", problems[0].detail)
    return found


def _prompt(view: OfExperiments, body: dict[str, Any]) -> Prompt:
    prompt = resolve.prompt_for(view.principal, body["prompt_name"], body.get("team_id"))
    if prompt.archived_at is not None:
        raise PromptArchived(prompt=prompt.title)
    return prompt


def _version(prompt: Prompt, part: dict[str, Any]) -> Version:
    if "version" in part:
        return resolve.version_of(prompt, str(part["version"]))
    return resolve.version_called(prompt, part["version_string"])


def _is_new(part: Mapping[str, Any]) -> bool:
    return "version" in part or "version_string" in part


def _variant(prompt: Prompt, index: int, part: dict[str, Any]) -> NewVariant:
    if ("version" in part) == ("version_string" in part):
        raise Invalid.field(f"variants.{index}.version", "Say which version: either version or version_string.")
    if ("weight" in part) == ("weight_bp" in part):
        raise Invalid.field(f"variants.{index}.weight_bp", "Say the share: either weight_bp or weight.")
    version = _version(prompt, part)
    weight_bp = part["weight_bp"] if "weight_bp" in part else int(part["weight"] * 100)
    more = {name: part[name] for name in ("name", "model", "parameters") if name in part}
    return NewVariant(key=part["key"], version=version, weight_bp=weight_bp, **more)
