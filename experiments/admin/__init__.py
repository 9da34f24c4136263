"""Editors' pages about experiments. Importing registers."""

from experiments.admin import experiment, namespace, ramp, sharing

__all__ = ["experiment", "namespace", "ramp", "sharing"]
