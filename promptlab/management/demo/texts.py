"""What the demo's prompts say, version by version, and where each went live. Days are counted back from today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BACK = "back"
Part = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """One version: when it was saved, by whom, and why."""

    days_ago: float
    note: str
    text: str = ""
    messages: Sequence[Part] = ()
    by: str = "ana"
    version_string: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Move:
    """One move of what is live. `to` is a version's number, or `BACK`."""

    days_ago: float
    environment: str
    to: int | str
    note: str
    by: str = "chloe"


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt with its life."""

    name: str
    title: str
    collection: str
    tags: tuple[str, ...]
    description: str
    drafts: tuple[Draft, ...]
    moves: tuple[Move, ...] = ()


def system(content: str) -> Part:
    return {"role": "system", "content": content}


def user(content: str) -> Part:
    return {"role": "user", "content": content}


def assistant(content: str) -> Part:
    return {"role": "assistant", "content": content}


HISTORY: Part = {"placeholder": "history"}

COLLECTIONS = {
    "Customer support": "Everything that customers of the shop read from us.",
    "Marketing": "Texts for the shop, newsletters and social media.",
    "Legal": "Reading help for contracts and requests. Lawyers check the answers.",
}

SUPPORT = (
    Sample(
        name="support-reply",
        title="Support reply",
        collection="Customer support",
        tags=("email", "tone"),
        description="Drafts the first answer to a customer's question. An agent reads it before it is sent.",
        drafts=(
            Draft(
                30,
                "First version, from the help centre's style guide",
                "You are a support agent for {{company}}.\n\n"
                "Answer the customer's question in a friendly, clear tone.\n"
                "Customer: {{customer_name}}\n"
                "Question: {{question}}\n\n"
                "- Keep the answer under 120 words.\n"
                "- Never promise a refund.\n",
                version_string="v1.0.0",
            ),
            Draft(
                24,
                "Warmer opening; sign off as the team",
                "You are a support agent for {{company}}.\n\n"
                "Answer the customer's question in a friendly, clear tone.\n"
                "Customer: {{customer_name}}\n"
                "Question: {{question}}\n\n"
                "- Greet the customer by name and show that you understood the problem.\n"
                "- Keep the answer under 120 words.\n"
                "- Never promise a refund.\n"
                "- Sign off as the {{company}} team.\n",
                version_string="v1.1.0",
            ),
            Draft(
                15,
                "Steps first: customers skim",
                "You are a support agent for {{company}}.\n\n"
                "Answer the customer's question with the steps to take, then one friendly sentence.\n"
                "Customer: {{customer_name}}\n"
                "Question: {{question}}\n\n"
                "- Greet the customer by name, in one short line.\n"
                "- At most four numbered steps, one sentence each.\n"
                "- Keep the answer under 80 words.\n"
                "- Never promise a refund.\n"
                "- Sign off as the {{company}} team.\n",
                version_string="v2.0.0",
            ),
            Draft(
                2,
                "Points to the help centre when steps do not help",
                "You are a support agent for {{company}}.\n\n"
                "Answer the customer's question with the steps to take, then one friendly sentence.\n"
                "Customer: {{customer_name}}\n"
                "Question: {{question}}\n\n"
                "- Greet the customer by name, in one short line.\n"
                "- At most four numbered steps, one sentence each.\n"
                "- If steps do not solve it, say that a colleague answers within one working day.\n"
                "- Keep the answer under 80 words.\n"
                "- Never promise a refund.\n"
                "- Sign off as the {{company}} team.\n",
                version_string="v2.1.0",
            ),
        ),
        moves=(
            Move(29.9, "development", 1, "To try it", "ana"),
            Move(29, "staging", 1, "Last check"),
            Move(28, "production", 1, "Launch of the new help centre"),
            Move(23.9, "development", 2, "To try it", "ana"),
            Move(23, "staging", 2, "Last check"),
            Move(22, "production", 2, "Agents asked for a warmer opening"),
            Move(14.9, "development", 3, "To try it", "ana"),
            Move(14, "staging", 3, "Last check"),
            Move(13, "production", 3, "Shorter answers for phones"),
            Move(12.8, "production", BACK, "Complaints: two customers called it curt. We test it first."),
            Move(1.9, "development", 4, "To try it", "ana"),
        ),
    ),
    Sample(
        name="ticket-triage",
        title="Ticket triage",
        collection="Customer support",
        tags=("internal", "json"),
        description="Sorts incoming tickets by topic and urgency. A program reads the answer.",
        drafts=(
            Draft(
                27,
                "First version",
                messages=(
                    system("You sort support tickets. Answer with JSON: topic, urgency (low, normal, high)."),
                    user("Ticket:\n{{ticket}}"),
                ),
            ),
            Draft(
                18,
                "Fixed list of topics, so that reports add up",
                messages=(
                    system(
                        "You sort support tickets. Answer with JSON and nothing else.\n"
                        "topic: one of delivery, return, payment, account, product, other\n"
                        "urgency: low, normal or high"
                    ),
                    user("Ticket:\n{{ticket}}"),
                ),
                parameters={"temperature": 0},
            ),
            Draft(
                6,
                "An example, because payment and account were mixed up",
                messages=(
                    system(
                        "You sort support tickets. Answer with JSON and nothing else.\n"
                        "topic: one of delivery, return, payment, account, product, other\n"
                        "urgency: low, normal or high"
                    ),
                    user("Ticket:\nI was charged twice for one order."),
                    assistant('{"topic": "payment", "urgency": "high"}'),
                    user("Ticket:\n{{ticket}}"),
                ),
                parameters={"temperature": 0},
            ),
        ),
        moves=(
            Move(26, "development", 1, "To try it", "ana"),
            Move(17.5, "staging", 2, "Last check"),
            Move(17, "production", 2, "Replaces the manual queue"),
            Move(5.9, "development", 3, "To try it", "ana"),
            Move(5, "staging", 3, "Last check"),
        ),
    ),
    Sample(
        name="refund-explanation",
        title="Refund explanation",
        collection="Customer support",
        tags=("email", "billing"),
        description="Explains how and when a refund arrives.",
        drafts=(
            Draft(
                21,
                "First version",
                "Explain to the customer how the refund for order {{order_number}} works.\n"
                "Reason for the refund: {{reason}}\n"
                "Way of payment: {{payment_method}}\n\n"
                "Say when the money arrives. Use plain words. At most five sentences.\n",
            ),
            Draft(
                10,
                "Bank transfers take longer than we said",
                "Explain to the customer how the refund for order {{order_number}} works.\n"
                "Reason for the refund: {{reason}}\n"
                "Way of payment: {{payment_method}}\n\n"
                "Cards: 3 to 5 working days. Bank transfers: 5 to 8 working days.\n"
                "Say when the money arrives. Use plain words. At most five sentences.\n",
            ),
        ),
        moves=(
            Move(20, "staging", 1, "Last check"),
            Move(19.5, "production", 1, "Asked for by the billing team"),
            Move(9.5, "development", 2, "To try it", "ana"),
            Move(9, "staging", 2, "Last check"),
            Move(8.5, "production", 2, "Correct times for bank transfers"),
        ),
    ),
    Sample(
        name="chat-greeting",
        title="Chat greeting",
        collection="Customer support",
        tags=("chat", "tone"),
        description="The first line that visitors of the shop's chat see.",
        drafts=(
            Draft(26, "First version", "Write one short, friendly greeting for the chat of {{company}}.\n"),
            Draft(
                21,
                "Names the visitor, if we know the name",
                "Write one short, friendly greeting for the chat of {{company}}.\n"
                "The visitor is called {{first_name}}. Use the name once.\n",
            ),
        ),
        moves=(
            Move(25.5, "development", 1, "To try it", "ana"),
            Move(25, "production", 1, "Launch of the chat"),
            Move(20.9, "development", 2, "To try it", "ana"),
            Move(11.5, "production", 2, "The experiment said so"),
        ),
    ),
    Sample(
        name="complaint-apology",
        title="Complaint apology",
        collection="Customer support",
        tags=("chat", "tone"),
        description="Helps agents to answer complaints without admitting fault.",
        drafts=(
            Draft(
                16,
                "First version",
                messages=(
                    system(
                        "You help an agent of {{company}} to answer a complaint. Be sincere, take the customer "
                        "seriously, do not admit fault and do not promise compensation."
                    ),
                    HISTORY,
                    user("The customer writes:\n{{complaint}}"),
                ),
            ),
            Draft(
                7,
                "Legal asked for a next step in every answer",
                messages=(
                    system(
                        "You help an agent of {{company}} to answer a complaint. Be sincere, take the customer "
                        "seriously, do not admit fault and do not promise compensation. End with what happens next "
                        "and when."
                    ),
                    HISTORY,
                    user("The customer writes:\n{{complaint}}"),
                ),
            ),
        ),
        moves=(
            Move(15.5, "development", 1, "To try it", "ana"),
            Move(6.5, "development", 2, "To try it", "ana"),
            Move(6, "staging", 2, "Last check"),
        ),
    ),
)

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
