"""What the prompts of the demo's support say, version by version, and where each went live."""

from __future__ import annotations

from promptlab.management.demo.samples import BACK, HISTORY, Draft, Move, Sample, assistant, system, user

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
                model_texts={
                    "gpt-5-mini": "Support agent for {{company}}. Customer: {{customer_name}}. Question: {{question}}\n\n"
                    "Reply in this order, and nothing else:\n"
                    "1. A greeting by name.\n"
                    "2. One to four numbered steps, one sentence each.\n"
                    "3. That a colleague answers within one working day, if steps do not solve it.\n"
                    "4. The {{company}} team.\n"
                },
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
