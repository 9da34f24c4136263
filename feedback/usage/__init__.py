"""How prompts are used, and what that costs: reads of the daily sums. No answer and no rating is looked at."""
