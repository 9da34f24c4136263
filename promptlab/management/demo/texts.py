"""What the demo's prompts say, version by version, and where each went live."""

from __future__ import annotations

from promptlab.management.demo.samples import Draft, Move, Sample, system, user
from promptlab.management.demo.support_texts import SUPPORT

COLLECTIONS = {
    "Customer support": "Everything that customers of the shop read from us.",
    "Marketing": "Texts for the shop, newsletters and social media.",
    "Legal": "Reading help for contracts and requests. Lawyers check the answers.",
}

MARKETING = (
    Sample(
        name="product-blurb",
        title="Product blurb",
        collection="Marketing",
        tags=("shop",),
        description="The two sentences under a product's picture.",
        drafts=(
            Draft(25, "First version", "Write two sentences about {{product}} for {{audience}}. No superlatives.\n"),
            Draft(
                19,
                "Material and use first",
                "Write two sentences about {{product}} for {{audience}}.\n"
                "First sentence: what it is made of and what it is for. Second: one detail that makes it special.\n"
                "No superlatives.\n",
            ),
            Draft(
                4,
                "Numbers only if they are given",
                "Write two sentences about {{product}} for {{audience}}.\n"
                "First sentence: what it is made of and what it is for. Second: one detail that makes it special.\n"
                "No superlatives. Use only numbers that appear here: {{facts}}\n",
            ),
        ),
        moves=(
            Move(24, "production", 1, "Spring catalogue"),
            Move(18.5, "staging", 2, "Last check"),
            Move(18, "production", 2, "Fewer returns hoped for"),
            Move(3.9, "development", 3, "To try it", "ana"),
        ),
    ),
    Sample(
        name="email-subject-lines",
        title="Email subject lines",
        collection="Marketing",
        tags=("email", "newsletter"),
        description="Five subject lines to choose from.",
        drafts=(
            Draft(23, "First version", "Write five subject lines for a newsletter about {{campaign}}.\n"),
            Draft(
                11,
                "At most 45 characters: phones cut the rest",
                "Write five subject lines for a newsletter about {{campaign}}.\n"
                "At most 45 characters each. No exclamation marks. One of them is a question.\n",
            ),
        ),
        moves=(
            Move(22.5, "production", 1, "For the May newsletter"),
            Move(10.5, "development", 2, "To try it", "ana"),
            Move(10, "production", 2, "For the June newsletter"),
        ),
    ),
    Sample(
        name="social-post",
        title="Social media post",
        collection="Marketing",
        tags=("social",),
        description="A short post about news from the shop.",
        drafts=(
            Draft(
                14,
                "First version",
                messages=(
                    system(
                        "You write posts for {{network}}. At most 220 characters, no hashtags in the middle of a "
                        "sentence."
                    ),
                    user("News: {{news}}"),
                ),
            ),
            Draft(
                8,
                "Sounded like an advert",
                messages=(
                    system(
                        "You write posts for {{network}} as somebody who works in the shop and likes being outdoors. "
                        "At most 220 characters, no hashtags in the middle of a sentence, no advertising words."
                    ),
                    user("News: {{news}}"),
                ),
            ),
        ),
        moves=(Move(7.5, "development", 2, "To try it", "ana"), Move(7, "staging", 2, "Last check")),
    ),
    Sample(
        name="landing-page-headline",
        title="Landing page headline",
        collection="Marketing",
        tags=("shop",),
        description="Headline and one line below it, for campaigns.",
        drafts=(
            Draft(
                1.2,
                "First version",
                "Write a headline of at most seven words and one line below it for a page about {{topic}}.\n"
                "The reader has never heard of {{company}}.\n",
            ),
        ),
    ),
)

LEGAL = (
    Sample(
        name="contract-summary",
        title="Contract summary",
        collection="Legal",
        tags=("summary", "internal"),
        description="Sums a contract up for people who did not study law.",
        drafts=(
            Draft(28, "First version", "Sum this contract up for {{reader}}:\n\n{{contract_text}}\n"),
            Draft(
                20,
                "Fixed order of points",
                "Sum this contract up for {{reader}}, in this order: parties, what each of them owes, money, "
                "how long it runs, how it ends.\n\n{{contract_text}}\n",
            ),
            Draft(
                9,
                "Says what is missing instead of guessing",
                "Sum this contract up for {{reader}}, in this order: parties, what each of them owes, money, "
                "how long it runs, how it ends.\n"
                "If the contract says nothing about one of these, write: not regulated. Never guess.\n\n"
                "{{contract_text}}\n",
            ),
        ),
        moves=(
            Move(27, "development", 1, "To try it", "ana"),
            Move(19, "staging", 2, "Last check"),
            Move(18.8, "production", 2, "The legal team checked ten contracts"),
            Move(8.8, "development", 3, "To try it", "ana"),
            Move(8, "staging", 3, "Last check"),
        ),
    ),
    Sample(
        name="data-request-reply",
        title="Reply to a data request",
        collection="Legal",
        tags=("email", "privacy"),
        description="Answers people who ask what we know about them.",
        drafts=(
            Draft(
                19,
                "First version",
                "Confirm to {{name}} that we received their request for their personal data on {{date}}.\n"
                "Say that they get a copy within one month. Formal, friendly, at most six sentences.\n",
            ),
            Draft(
                12,
                "Names the contact for questions",
                "Confirm to {{name}} that we received their request for their personal data on {{date}}.\n"
                "Say that they get a copy within one month, and that questions go to {{contact}}.\n"
                "Formal, friendly, at most six sentences.\n",
            ),
        ),
        moves=(
            Move(18.2, "production", 1, "Checked by the data protection officer"),
            Move(11.8, "development", 2, "To try it", "ana"),
        ),
    ),
    Sample(
        name="clause-risk-check",
        title="Clause risk check",
        collection="Legal",
        tags=("internal", "json"),
        description="Marks clauses that a lawyer should look at.",
        drafts=(
            Draft(
                5,
                "First version",
                messages=(
                    system(
                        "You read one clause of a contract. Answer with JSON: risk (none, look, urgent) and reason, "
                        "one sentence. When in doubt, answer look."
                    ),
                    user("{{clause}}"),
                ),
                parameters={"temperature": 0},
            ),
        ),
        moves=(Move(4.5, "development", 1, "To try it", "ana"),),
    ),
)

SAMPLES = (*SUPPORT, *MARKETING, *LEGAL)
