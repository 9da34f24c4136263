"""Conclusions that another person has to approve, over REST."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.serializers import ActIn, ConclusionIn, ConclusionRequestOut
from experiments.api.views import OfExperiments
from experiments.errors import RequestNotFound
from experiments.models import ConclusionRequest
from experiments.services import approving
from experiments.services.concluding import Conclusion

VERBS = {
    "approve": approving.approve_conclusion,
    "refuse": approving.refuse_conclusion,
    "withdraw": approving.withdraw_conclusion,
}


class ConclusionRequests(OfExperiments):
    serializer_class = ConclusionRequestOut
    pagination_class = None

    @extend_schema(operation_id="experiments_conclusions_list", responses=ConclusionRequestOut(many=True))
    def get(self, request: Request, reference: str) -> Response:
        """List the conclusions that were asked for, newest first."""
        rows = self.experiment(reference).conclusion_requests.select_related("keep")
        return Response(ConclusionRequestOut(rows, many=True).data)

    @extend_schema(
        operation_id="experiments_conclusions_ask", request=ConclusionIn, responses={201: ConclusionRequestOut}
    )
    def post(self, request: Request, reference: str) -> Response:
        """Ask another person to approve a conclusion that the numbers speak against. Nothing changes until then."""
        conclusion = Conclusion(**self.checked(ConclusionIn))
        asked = approving.ask_conclusion(self.principal, self.experiment(reference), conclusion)
        return Response(ConclusionRequestOut(asked).data, status=status.HTTP_201_CREATED)


class ConclusionRequestAct(OfExperiments):
    serializer_class = ConclusionRequestOut

    @extend_schema(operation_id="experiments_conclusions_act", request=ActIn, responses=ConclusionRequestOut)
    def post(self, request: Request, reference: str, pk: str, verb: str) -> Response:
        """Approve (which concludes the experiment), refuse with a note why, or withdraw. Keys can only withdraw."""
        rows = ConclusionRequest.objects.filter(experiment=self.experiment(reference)).with_names()
        found = rows.filter(pk=pk).first() if len(pk) < 19 else None
        if found is None:
            raise RequestNotFound(request=pk[:20])
        VERBS[verb](self.principal, found, note=self.checked(ActIn).get("note", ""))
        return Response(ConclusionRequestOut(rows.get(pk=pk)).data)
