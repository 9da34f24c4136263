"""Editors' pages about experiments. Importing registers."""

from experiments.admin import before_live, experiment, namespace, ramp, sharing

__all__ = ["before_live", "experiment", "namespace", "ramp", "sharing"]
