"""Judges over REST: which share of which prompt's answers a model scores, for what money, and how far people agree."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.annotations import judged
from feedback.api.rounds import AgreementOut
from feedback.api.views import may_read
from feedback.errors import JudgeNotFound
from feedback.models import Judge
from feedback.results import READ
from feedback.services import judging
from feedback.services.judging import NANO, JudgePlan
from promptlab.accounts.rest import id_in
from prompts.api.views import House
from prompts.resolve import prompt_for


class JudgeShape(serializers.Serializer[Any]):
    """A judge: the prompt `by` scores a `share` of the answers of `prompt`, good from the score `least` on."""

    prompt = serializers.CharField(max_length=255, help_text="Whose answers: its short name.")
    by = serializers.CharField(
        max_length=255, help_text="The prompt that judges. It asks for {{answer}}, and for {{rubric}} and {{input}}."
    )
    share = serializers.FloatField(help_text="Of answers, from 0.0001 to 1.")
    day_usd = serializers.DecimalField(18, 9, help_text="Budget of a day of UTC, in US dollars.")
    rubric = serializers.CharField(default="", allow_blank=True, max_length=5000, help_text="What is good.")
    least = serializers.FloatField(default=0.5)
    is_on = serializers.BooleanField(default=True)


class JudgeIn(JudgeShape):
    team_id = serializers.IntegerField(required=False)


class JudgeOut(serializers.ModelSerializer[Judge]):
    """A judge, what it spent on `day`, and in `note` why it does nothing at present."""

    prompt = serializers.CharField(source="prompt.name")
    by = serializers.CharField(source="by.name")
    share = serializers.SerializerMethodField()
    day_usd = serializers.SerializerMethodField()
    spent_usd = serializers.SerializerMethodField()

    class Meta:
        model = Judge
        fields = ["id", "prompt", "by", "rubric", "share", "least", "is_on", "day_usd", "day", "spent_usd", "note"]

    def get_share(self, judge: Judge) -> float:
        return judge.share_bp / 10_000

    def get_day_usd(self, judge: Judge) -> str:
        return f"{Decimal(judge.day_nanousd) / NANO:f}"

    def get_spent_usd(self, judge: Judge) -> str:
        return f"{Decimal(judge.spent_nanousd) / NANO:f}"


class JudgeDetailOut(JudgeOut):
    """A judge, and how far people agree with it on the newest 1,000 answers it judged."""

    with_people = AgreementOut()

    class Meta(JudgeOut.Meta):
        fields = [*JudgeOut.Meta.fields, "with_people"]


class OfJudges(House):
    """Views that find a judge by its id."""

    serializer_class = JudgeOut
    filter_backends = ()
    queryset = Judge.objects.none()

    def judge(self, pk: str, capability: str = "prompt.read") -> Judge:
        """Return a judge the caller sees. Raises JudgeNotFound."""
        rows = Judge.objects.visible_to(self.principal, capability).select_related("prompt", "by")
        found: Judge | None = rows.filter(pk=id_in(pk)).first()
        if found is None:
            raise JudgeNotFound
        return found


class JudgeList(OfJudges):
    @extend_schema(operation_id="judges_list", responses=JudgeOut(many=True))
    def get(self, request: Request) -> Response:
        """List the judges, by the prompt whose answers they score."""
        may_read(self.principal)
        rows = Judge.objects.visible_to(self.principal, READ).select_related("prompt", "by")
        return self.page(rows.order_by("prompt__title", "pk"), JudgeOut)

    @extend_schema(operation_id="judges_update", request=JudgeIn, responses=JudgeOut)
    def put(self, request: Request) -> Response:
        """Have a prompt's answers judged from now on, in place of what was said before; `is_on` false: no more."""
        said = self.checked(JudgeIn)
        team_id = said.pop("team_id", None)
        prompt, by = (prompt_for(self.principal, said.pop(name), team_id) for name in ("prompt", "by"))
        made = judging.set_judge(self.principal, prompt, JudgePlan(by=by, **said))
        return Response(JudgeOut(made).data)


class JudgeDetail(OfJudges):
    @extend_schema(operation_id="judges_retrieve", responses=JudgeDetailOut)
    def get(self, request: Request, pk: str) -> Response:
        """Show a judge, and how far people agree with it."""
        may_read(self.principal)
        judge = self.judge(pk, READ)
        return Response({**JudgeOut(judge).data, "with_people": AgreementOut(judged(judge)).data})


class JudgeRun(OfJudges):
    @extend_schema(operation_id="judges_run", request=None, responses={202: JudgeOut})
    def post(self, request: Request, pk: str) -> Response:
        """Have what waits judged now, as far as the day's money goes; else it is within half a minute."""
        judge = self.judge(pk)
        judging.ask_to_judge(self.principal, judge)
        return Response(JudgeOut(judge).data, status=status.HTTP_202_ACCEPTED)
