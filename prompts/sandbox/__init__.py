"""Templates in Jinja: what they may say, and filling them without harm. What the API answers is not decided here.

Jinja's own sandbox keeps a template from reaching the interpreter, but not from using up the machine. So a template says
only what `grammar` lists; no attribute of any object is ever read (`environment`); every loop, filter and comparison
looks at the clock, and what is written is counted (`limits`). What a single step costs is bounded by the values it is
given, and no step makes a value much larger than they are.
"""

from prompts.sandbox.filling import check, fill
from prompts.sandbox.grammar import roots
from prompts.sandbox.limits import Failed, Refused, TooCostly

__all__ = ["Failed", "Refused", "TooCostly", "check", "fill", "roots"]
