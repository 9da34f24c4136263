"""What an answer is held against: checks with their options, and how each decides. Nothing here knows a table or a model call.

`bounded.decide` is the door: what a hostile pattern or text could make slow runs in a process of its own, with a limit.
"""

from prompts.checks.bounded import decide
from prompts.checks.deciding import Answer, Outcome
from prompts.checks.judging import JUDGE, read_verdict
from prompts.checks.kinds import ASKED, KINDS, checked
from prompts.checks.preferring import PREFERRED, read_preferences, settled
from prompts.checks.statistics import p_of_drop, wilson

__all__ = [
    "ASKED",
    "JUDGE",
    "KINDS",
    "PREFERRED",
    "Answer",
    "Outcome",
    "checked",
    "decide",
    "p_of_drop",
    "read_preferences",
    "read_verdict",
    "settled",
    "wilson",
]
