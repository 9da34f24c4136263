"""Token counts against published ones (OpenAI cookbook, "How to count tokens with tiktoken")."""

from __future__ import annotations

import pytest

from promptlab import llm
from promptlab.llm import tokens


@pytest.mark.parametrize(
    ("text", "model", "count"),
    [
        ("antidisestablishmentarianism", "gpt-4", 6),
        ("antidisestablishmentarianism", "gpt-4o", 6),
        ("2 + 2 = 4", "gpt-4", 7),
        ("2 + 2 = 4", "gpt-4o", 7),
        ("お誕生日おめでとう", "gpt-4", 9),
        ("お誕生日おめでとう", "gpt-4o", 8),
        ("", "gpt-4o", 0),
    ],
)
def test_text_is_counted_exactly_for_known_models(text: str, model: str, count: int) -> None:
    assert llm.estimate(text, model) == (count, True)


@pytest.mark.parametrize("model", ["gpt-6", "our-own-model"])
def test_a_model_too_new_to_be_known_is_counted_with_the_newest_encoding(model: str) -> None:
    assert llm.estimate("お誕生日おめでとう", model) == (8, False)


def test_an_encoding_that_is_not_bundled_falls_back_to_a_quarter_of_the_bytes() -> None:
    assert llm.estimate("123456789", "text-davinci-003") == (3, False)


def test_messages_carry_a_frame_that_is_only_estimated() -> None:
    messages = [llm.ChatMessage("system", "2 + 2 = 4"), llm.ChatMessage("user", "")]
    assert llm.estimate(messages, "gpt-4o") == (1 + 7 + 1 + 0 + 2 * 3 + 3, False)


def test_special_tokens_in_a_text_are_just_text() -> None:
    count, is_exact = llm.estimate("<|endoftext|>", "gpt-4o")
    assert count > 1 and is_exact


def test_half_a_character_is_counted_somehow() -> None:
    assert llm.estimate("\ud800", "gpt-4o").tokens > 0


def test_a_long_text_is_cut_where_no_count_changes() -> None:
    assert llm.estimate("word " * 60_000, "gpt-4o") == (60_001, True)


def test_a_million_blanks_are_counted_in_pieces() -> None:
    count, is_exact = llm.estimate(" " * 1_000_000, "gpt-4o")
    assert 0 < count <= 1_000_000 and not is_exact


@pytest.mark.parametrize("text", ["a" * 300_000, "\n" * 300_000, "あ" * 300_000])
def test_other_monotonous_texts_are_counted_too(text: str) -> None:
    assert llm.estimate(text, "gpt-4o").tokens > 0


def test_echo_counts_words_without_an_encoder() -> None:
    assert llm.estimate("one  two\nthree", "echo") == (3, True)
    assert llm.estimate([llm.ChatMessage("user", "one two"), llm.ChatMessage("user", "three")], "echo") == (
        3,
        True,
    )


def test_ranks_that_are_not_the_published_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="not the published"):
        tokens._bundled_ranks("https://example.com/cl100k_base.tiktoken", "0" * 64)
