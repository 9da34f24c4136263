"""Editors' pages about experiments. Importing registers."""

from experiments.admin import experiment, ramp, sharing

__all__ = ["experiment", "ramp", "sharing"]
