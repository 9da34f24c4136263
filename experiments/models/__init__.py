"""The tables of experiments, one file per noun."""

from experiments.models.analysis import AnalysisSnapshot
from experiments.models.conclusion import ConclusionRequest
from experiments.models.day import DayMark, DayRollup
from experiments.models.experiment import Experiment, Namespace, Phase, Variant, owned_slots
from experiments.models.exposure import ExperimentUnit
from experiments.models.ramp import Ramp, RampDecision, Stage
from experiments.models.rollup import HourRollup
from experiments.models.share import SharedResults

__all__ = [
    "AnalysisSnapshot",
    "ConclusionRequest",
    "DayMark",
    "DayRollup",
    "Experiment",
    "ExperimentUnit",
    "HourRollup",
    "Namespace",
    "Phase",
    "Ramp",
    "RampDecision",
    "SharedResults",
    "Stage",
    "Variant",
    "owned_slots",
]
