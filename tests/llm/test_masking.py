"""Values leave as tokens and come back in the answer, however it is cut; nothing of them is written down."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlab import llm
from promptlab.lib import metrics
from promptlab.llm import finding, masking
from promptlab.llm.finding import Masks
from promptlab.llm.masking import Filler, Sheet
from promptlab.llm.providers import scripted
from promptlab.llm.providers.scripted import Reply

ALL = Masks(finding.KINDS, (("staff", r"EMP-\d{4,8}"),))
EMAIL, CARD, STAFF = "canary.ann@example.com", "4111 1111 1111 1111", "EMP-12345"
WORDS = st.sampled_from(
    [EMAIL, CARD, STAFF, "DE89 3704 0044 0532 0130 00", "+49 170 1234567", "[EMAIL_1]", "[EMAIL_2]", "[", "]", "[EMAIL_",
     "EMAIL_1]", " ", "\n", "\\n", '"', "x", "1", "[CARD_1", "[STAFF_1]", "bob@example.org"]
)  # fmt: skip
TEXTS = st.one_of(st.lists(WORDS, max_size=12).map("".join), st.text(max_size=60))


def ask(text: str, masks: Masks = ALL, **options: Any) -> llm.CompletionRequest:
    return llm.CompletionRequest([llm.ChatMessage("user", text)], model="scripted", masks=masks, **options)


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


def filled(values: dict[str, str], pieces: list[str]) -> str:
    filler = Filler(values)
    return "".join([*(filler.put(piece) for piece in pieces), filler.rest()])


@given(TEXTS, st.lists(st.integers(0, 300), max_size=12))
def test_what_was_masked_comes_back_however_it_is_cut(text: str, cuts: list[int]) -> None:
    sent, sheet = masking.masked(ask(text))
    assert filled(dict(sheet.values()), pieces_of(sent.messages[0].content, cuts)) == text


@given(TEXTS, TEXTS, st.lists(st.integers(0, 300), max_size=12))
def test_an_answer_is_the_same_in_pieces_as_whole(asked: str, answered: str, cuts: list[int]) -> None:
    values = dict(masking.masked(ask(asked))[1].values())
    assert filled(values, pieces_of(answered, cuts)) == filled(values, [answered])


@given(TEXTS)
def test_the_same_request_is_masked_the_same_way(text: str) -> None:
    assert masking.masked(ask(text))[0] == masking.masked(ask(text))[0]


def test_only_what_may_be_a_token_is_held_back() -> None:
    filler = Filler({"[EMAIL_1]": EMAIL})
    assert [filler.put(piece) for piece in ("Dear ", "[", "x] [EMA", "IL", "_1", "], [EMAIL_2] [EM")] == [
        "Dear ", "", "[x] ", "", "", f"{EMAIL}, [EMAIL_2] ",
    ]  # fmt: skip
    assert filler.rest() == "[EM"


def test_a_value_has_one_token_in_all_messages_of_a_call() -> None:
    messages = [llm.ChatMessage("system", f"Help {EMAIL}."), llm.ChatMessage("user", f"bob@example.org, {EMAIL}")]
    sent, sheet = masking.masked(llm.CompletionRequest(messages, masks=ALL))
    assert [one.content for one in sent.messages] == ["Help [EMAIL_1].", "[EMAIL_2], [EMAIL_1]"]
    assert sheet.counts == {"email": 3}


def test_arguments_of_calls_stay_json() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "mail", "arguments": ""}}
    said = {"to": f"Ann\n{EMAIL}", "card": 4111111111111111, "more": [EMAIL, True, None, 1.5], EMAIL: 1}
    call["function"] = {"name": "mail", "arguments": json.dumps(said)}
    message = llm.ChatMessage("assistant", "", (call, {"function": {"arguments": "no json " + EMAIL}}))
    sent, _ = masking.masked(llm.CompletionRequest([message], masks=ALL))
    first, second = (one["function"]["arguments"] for one in sent.messages[0].tool_calls)  # type: ignore[index]
    assert json.loads(first) == {
        "to": "Ann\n[EMAIL_1]", "card": "[CARD_1]", "more": ["[EMAIL_1]", True, None, 1.5], "[EMAIL_1]": 1,
    }  # fmt: skip
    assert second == "no json [EMAIL_1]"
    assert call["function"] == {"name": "mail", "arguments": json.dumps(said)}


def test_arguments_without_values_are_not_written_anew() -> None:
    assert Sheet(ALL).masked_json('{"a" :  [1]}') == '{"a" :  [1]}'


def test_the_provider_sees_tokens_and_the_caller_values() -> None:
    with scripted.use(Reply(deltas=("I wrote to [EMA", "IL_1] and [", "STAFF_1", "]. [EMAIL_9] [CA"))) as provider:
        done = llm.complete(ask(f"Write to {EMAIL} for {STAFF}, card {CARD}"))
    assert provider.requests[0].messages[0].content == "Write to [EMAIL_1] for [STAFF_1], card [CARD_1]"
    assert done.text == f"I wrote to {EMAIL} and {STAFF}. [EMAIL_9] [CA"


def test_a_long_text_is_masked_all_the_same() -> None:
    with scripted.use("[EMAIL_1]") as provider:
        done = llm.complete(ask("word " * masking.LONG + EMAIL))
    assert provider.requests[0].messages[0].content.endswith("word [EMAIL_1]")
    assert done.text == EMAIL


def test_without_masks_nothing_is_touched() -> None:
    with scripted.use(Reply(deltas=("[", "EMAIL_1]"))) as provider:
        done = llm.complete(ask(EMAIL, Masks()))
    assert (provider.requests[0].messages[0].content, done.text) == (EMAIL, "[EMAIL_1]")


def test_the_masks_of_every_way_count_whichever_is_taken() -> None:
    first = llm.Route("one", "scripted", "scripted", masks=Masks(("email",)))
    other = llm.Route("two", "scripted", "scripted", masks=Masks(("card",)))
    with scripted.use("Done.") as provider:
        llm.complete(ask(f"{EMAIL}, {CARD}", Masks(), routes=(first, other)))
    assert provider.requests[0].messages[0].content == "[EMAIL_1], [CARD_1]"


def test_calls_of_tools_get_their_values_as_json_writes_them() -> None:
    masks = Masks(("email",), (("quoted", r'"[a-z]{4}"'),))
    start = {"index": 0, "id": "c1", "type": "function", "function": {"name": "mail", "arguments": '{"to": "[EMA'}}
    rest = [
        {"index": 0, "function": {"arguments": piece}} for piece in ("IL", "_1] ", "[QUOTED_1]", '", "x": [', "1]}")
    ]
    with scripted.use(Reply(tool_calls=(start, *rest))):
        done = llm.complete(ask(f'{EMAIL} "name"', masks))
    arguments = done.tool_calls[0]["function"]["arguments"]  # type: ignore[index]
    assert json.loads(arguments) == {"to": f'{EMAIL} "name"', "x": [1]}
    assert done.tool_calls[0]["id"] == "c1"


def test_what_is_held_back_is_given_out_before_an_answer_breaks_off() -> None:
    said: list[str] = []

    async def listen() -> None:
        async for event in llm.astream(ask(EMAIL)):
            if isinstance(event, llm.Delta):
                said.append(event.text)

    broken = Reply(deltas=("Dear [EMAIL_1], see [EM",), error=llm.ProviderUnavailable())
    with scripted.use(broken), pytest.raises(llm.ProviderUnavailable) as caught:
        asyncio.run(listen())
    assert "".join(said) == f"Dear {EMAIL}, see [EM"
    assert caught.value.partial


def test_what_was_held_back_before_the_first_word_is_not_repeated() -> None:
    with scripted.use(Reply(deltas=("[EM",), error=llm.ProviderUnavailable()), "Dear [EMAIL_1]"):
        assert llm.complete(ask(EMAIL)).text == f"Dear {EMAIL}"


def test_logs_and_metrics_have_counts_and_no_values(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), scripted.use("Dear [EMAIL_1]"):
        llm.complete(ask(f"{EMAIL}, {EMAIL}, {STAFF}"))
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [line["masked"] for line in lines if line["event"] == "llm.call"] == [{"email": 2, "staff": 1}]
    exposed = metrics.exposition()
    assert 'promptlab_llm_masked_total{provider="scripted",model="scripted",kind="email"}' in exposed
    assert 'kind="own"' in exposed
    written = caplog.text + exposed + "".join(str(record.__dict__) for record in caplog.records)
    for value in (EMAIL, "canary", STAFF):
        assert value not in written
