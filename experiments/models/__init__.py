"""The tables of experiments, one file per noun."""

from experiments.models.experiment import Experiment, Variant
from experiments.models.exposure import ExperimentUnit
from experiments.models.rollup import HourRollup

__all__ = ["Experiment", "ExperimentUnit", "HourRollup", "Variant"]
