"""Experiments over REST: make, read, act, see where a unit falls, read results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from promptlab_sdk.kernel.assignment import assign
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from experiments import results
from experiments.api.serializers import ActIn, AssignmentOut, ExperimentIn, ExperimentOut
from experiments.delivery import experiment_now
from experiments.errors import ExperimentNotFound
from experiments.models import Experiment
from experiments.services import lifecycle
from experiments.services.lifecycle import NewVariant
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
        )
        return Response(ExperimentOut(self.experiment(str(made.pk))).data, status=status.HTTP_201_CREATED)


class ExperimentDetail(OfExperiments):
    def get(self, request: Request, reference: str) -> Response:
        """Return one experiment."""
        return Response(ExperimentOut(self.experiment(reference)).data)


class ExperimentAct(OfExperiments):
    @extend_schema(operation_id="experiments_act", request=ActIn, responses=ExperimentOut)
    def post(self, request: Request, reference: str, verb: str) -> Response:
        """Start, pause, resume, stop or kill. Effective everywhere within a second of the answer."""
        one = self.experiment(reference)
        body = self.checked(ActIn)
        lifecycle.VERBS[verb](self.principal, one, note=body.get("note", ""))
        return Response(ExperimentOut(self.experiment(reference)).data)


class Assignment(OfExperiments):
    @extend_schema(parameters=[OpenApiParameter("unit_id", required=True)], responses=AssignmentOut)
    def get(self, request: Request, reference: str) -> Response:
        """Say which variant a unit gets and why, without recording anything."""
        one = self.experiment(reference)
        unit_id = request.query_params.get("unit_id", "")
        if not 0 < len(unit_id) <= 200:
            raise Invalid.field("unit_id", "Send unit_id, 1 to 200 characters.", code="required")
        found = assign(experiment_now(one), unit_id)
        shown = {
            "experiment": one.key,
            "unit_id": unit_id,
            "phase": one.phase,
            "state": one.state,
            "variant": found.variant.key,
            "version": found.variant.prompt.version,
            "is_assigned": found.assigned,
            "slot": found.slot,
            "reason": found.reason,
        }
        return Response(shown)


class Results(OfExperiments):
    @extend_schema(responses={200: dict})
    def get(self, request: Request, reference: str) -> Response:
        """Return the counts and approval of each variant, as the dashboard shows them."""
        return Response(results.as_json(results.results(self.experiment(reference))))


def _prompt(view: OfExperiments, body: dict[str, Any]) -> Prompt:
    prompt = resolve.prompt_for(view.principal, body["prompt_name"], body.get("team_id"))
    if prompt.archived_at is not None:
        raise PromptArchived(prompt=prompt.title)
    return prompt


def _version(prompt: Prompt, part: dict[str, Any]) -> Version:
    if "version" in part:
        return resolve.version_of(prompt, str(part["version"]))
    return resolve.version_called(prompt, part["version_string"])


def _variant(prompt: Prompt, index: int, part: dict[str, Any]) -> NewVariant:
    if ("version" in part) == ("version_string" in part):
        raise Invalid.field(f"variants.{index}.version", "Say which version: either version or version_string.")
    if ("weight" in part) == ("weight_bp" in part):
        raise Invalid.field(f"variants.{index}.weight_bp", "Say the share: either weight_bp or weight.")
    version = _version(prompt, part)
    weight_bp = part["weight_bp"] if "weight_bp" in part else int(part["weight"] * 100)
    return NewVariant(key=part["key"], version=version, weight_bp=weight_bp, name=part.get("name", ""))
