"""What each check passes and fails, and that nothing makes one of them take for ever."""

from __future__ import annotations

import time
from typing import Any

import pytest
from promptlab_sdk.kernel.language import LANGUAGES, language_of

from promptlab.lib.errors import Invalid
from prompts import checks
from prompts.checks import Answer
from prompts.checks.statistics import Stratum

ORDER = '{"id": 7, "lines": [{"sku": "a"}], "note": null}'
SCHEMA = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
CASES: list[tuple[str, dict[str, Any], str, bool | None]] = [
    ("equals", {"value": "Yes"}, " Yes\n", True),
    ("equals", {"value": "Yes"}, "yes", False),
    ("equals", {"value": "Yes", "ignore_case": True}, "YES", True),
    ("equals", {}, "the expected one", True),
    ("contains", {"values": ["refund", "days"]}, "A Refund takes 3 days.", True),
    ("contains", {"values": ["refund", "weeks"]}, "A refund takes 3 days.", False),
    ("contains", {"values": ["refund", "weeks"], "any": True}, "A refund takes 3 days.", True),
    ("contains", {"values": ["Refund"], "ignore_case": False}, "a refund", False),
    ("not_contains", {"values": ["damn"]}, "Damnation", False),
    ("not_contains", {"values": ["damn"], "whole_words": True}, "Damnation", True),
    ("not_contains", {"values": ["damn"], "whole_words": True}, "Well, damn.", False),
    ("regex", {"pattern": r"\bORD-\d{4}\b"}, "It is ORD-1234.", True),
    ("regex", {"pattern": r"\bORD-\d{4}\b"}, "It is ORD-12.", False),
    ("is_json", {}, ORDER, True),
    ("is_json", {}, f"Here you are: {ORDER}", False),
    ("is_json", {}, "[" * 100_000, False),
    ("json_schema", {"schema": SCHEMA}, ORDER, True),
    ("json_schema", {"schema": SCHEMA}, '{"id": "7"}', False),
    ("structure", {"shape": {"id": "number", "lines": "list", "note": "null", "more": "string?"}}, ORDER, True),
    ("structure", {"shape": {"id": "string"}}, ORDER, False),
    ("structure", {"shape": {"lost": "any"}}, ORDER, False),
    ("structure", {"shape": {"a": {"b": "boolean"}}}, '{"a": {"b": true}}', True),
    ("structure", {"shape": {"a": {"b": "number"}}}, '{"a": {"b": true}}', False),
    ("structure", {"shape": {"a": {"b": "number"}}}, '{"a": 1}', False),
    ("length", {"most": 5}, "12345", True),
    ("length", {"most": 5}, "123456", False),
    ("length", {"least": 3, "unit": "words"}, "one two", False),
    ("latency", {"most_ms": 100}, "x", True),
    ("latency", {"most_ms": 99}, "x", False),
    ("cost", {"most_usd": 0.01}, "x", True),
    ("cost", {"most_usd": 0.001}, "x", False),
    ("similarity", {"value": "A refund takes three days.", "least": 0.9}, "A refund takes three days", True),
    ("similarity", {"value": "A refund takes three days.", "least": 0.9}, "No.", False),
]


@pytest.mark.parametrize(("kind", "options", "text", "passed"), CASES)
def test_a_check_says(kind: str, options: dict[str, Any], text: str, passed: bool) -> None:
    answer = Answer(text, "the expected one", latency_ms=100, cost_usd=0.002)
    outcome = checks.decide(kind, checks.checked(kind, options), answer, limit_s=20)
    assert outcome.passed is passed, outcome
    assert passed or outcome.detail


SENTENCES = {
    "en": "Thank you for your message. The refund was sent to you, and it will be there in three days.",
    "es": "Gracias por su mensaje. El reembolso está en camino y se lo enviamos a la cuenta de los pagos.",
    "fr": "Merci pour votre message. Le remboursement est en route et vous le verrez dans les trois jours.",
    "de": "Danke für Ihre Nachricht. Die Erstattung ist unterwegs und wird in drei Tagen auf dem Konto sein.",
    "it": "Grazie per il messaggio. Il rimborso è in arrivo e non serve altro per la sua richiesta, che è chiusa.",
    "pt": "Obrigado pela mensagem. O reembolso não demora e você pode ver os detalhes com o número da compra.",
    "nl": "Dank u voor het bericht. De terugbetaling is onderweg en wordt op uw rekening gezet, maar niet vandaag.",
    "pl": "Zwrot jest w drodze i nie musi pan nic robić, ale to może potrwać do trzech dni, jak zawsze.",
    "sv": "Tack för ditt brev. Pengarna är på väg och det tar inte mer än tre dagar att få dem till kontot.",
    "ru": "Деньги уже отправлены, они придут через три дня.",
    "ja": "返金は三日以内に届きます。",
    "zh": "退款将在三天内到账。",
    "ko": "환불은 삼일 안에 도착합니다.",
    "ar": "سيصل المبلغ خلال ثلاثة أيام",
    "he": "ההחזר יגיע תוך שלושה ימים",
    "el": "Τα χρήματα θα φτάσουν σε τρεις ημέρες.",
    "th": "เงินคืนจะถึงภายในสามวัน",
}


def test_a_language_is_told_where_its_words_or_letters_tell_it() -> None:
    assert {code: language_of(text) for code, text in SENTENCES.items()} == {code: code for code in LANGUAGES}
    for other in (code for code in LANGUAGES if code != "es"):
        outcome = checks.decide("language", {"language": "es"}, Answer(SENTENCES[other]))
        assert (outcome.passed, outcome.detail) == (False, f"The answer is in {other}.")


@pytest.mark.parametrize(
    "text", ["", "42", "OK.", "Madrid", "Хата біля річки, її видно.", f"{SENTENCES['en']} {SENTENCES['de']}"]
)
def test_a_language_that_nobody_can_tell_is_undecided(text: str) -> None:
    assert checks.decide("language", {"language": "en"}, Answer(text)).passed is None


def test_options_that_were_checked_can_be_checked_again() -> None:
    for kind, options, _text, _passed in CASES:
        whole = checks.checked(kind, options)
        assert checks.checked(kind, whole) == whole


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        ("looks-nice", {}, "kind"),
        ("equals", {"valu": "x"}, "options.valu"),
        ("contains", {}, "options.values"),
        ("contains", {"values": []}, "options.values"),
        ("contains", {"values": "refund"}, "options.values"),
        ("regex", {"pattern": "("}, "options.pattern"),
        ("regex", {"pattern": "x" * 1001}, "options.pattern"),
        ("structure", {"shape": {"a": "text"}}, "options.shape"),
        ("structure", {"shape": {}}, "options.shape"),
        ("length", {}, "options.most"),
        ("length", {"most": -1}, "options.most"),
        ("latency", {"most_ms": True}, "options.most_ms"),
        ("similarity", {"least": 1.1}, "options.least"),
        ("judge", {"prompt": "judge"}, "options.rubric"),
        ("json_schema", {"schema": "x"}, "options.schema"),
    ],
)
def test_wrong_options_are_refused_by_field(kind: str, options: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        checks.checked(kind, options)
    assert refused.value.problems[0].field == field


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        ("regex", {"pattern": "(a+)+b"}, "a" * 60),
        ("json_schema", {"schema": {"type": "string", "pattern": "(a+)+b"}}, f'"{"a" * 60}"'),
    ],
)
def test_a_check_that_takes_for_ever_is_undecided_and_the_next_one_works(
    kind: str, options: dict[str, Any], text: str
) -> None:
    warm = checks.decide("regex", {"pattern": "a"}, Answer("a"), limit_s=20)
    begun = time.monotonic()
    outcome = checks.decide(kind, options, Answer(text), limit_s=0.3)
    assert warm.passed and outcome.passed is None and "longer than" in outcome.detail
    assert time.monotonic() - begun < 30
    assert checks.decide("regex", {"pattern": "a"}, Answer("a"), limit_s=20).passed


def test_a_cost_that_nobody_knows_is_undecided() -> None:
    assert checks.decide("cost", {"most_usd": 1}, Answer("x")).passed is None


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ('{"score": 0.8, "reason": "Kind."}', True),
        ('```json\n{"score": 0.2}\n```', False),
        ('{"score": 0.5}', True),
        ('Sure! {"score": 0.8}', None),
        ('{"score": "0.8"}', None),
        ('{"score": 8}', None),
        ('{"score": true}', None),
        ("[0.8]", None),
        ("", None),
    ],
)
def test_a_judge_is_read_strictly(text: str, passed: bool | None) -> None:
    assert checks.read_verdict(text, 0.5).passed is passed


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3: the score without a continuity correction.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_wilsons(passed: int, total: int, low: float, high: float) -> None:
    assert checks.wilson(passed, total) == pytest.approx((low, high), abs=5e-5)


def test_one_answer_a_case_is_mcnemars_exact_test() -> None:
    worse = [Stratum(1, 1, 0, 1)] * 8
    better = [Stratum(0, 1, 1, 1)] * 2
    same = [Stratum(1, 1, 1, 1)] * 50
    # Eight of ten discordant pairs one way: sum of C(10, 8..10) / 2^10.
    assert checks.p_of_drop([*worse, *better, *same]) == pytest.approx(56 / 1024)


def test_one_case_is_fishers_exact_test() -> None:
    # Fisher's tea: 3 of 4 against 1 of 4 is 17 / 70, one-sided.
    assert checks.p_of_drop([Stratum(3, 4, 1, 4)]) == pytest.approx(17 / 70)


def test_where_nothing_differs_there_is_no_drop() -> None:
    assert checks.p_of_drop([]) == checks.p_of_drop([Stratum(2, 2, 2, 2), Stratum(0, 3, 0, 3)]) == 1.0
