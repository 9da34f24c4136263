"""Texts for certain models: what each is sent, what stands on the wire, and what the checksum covers."""

from __future__ import annotations

from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import Content, Message, PromptSpec

PLAIN = Content(text="Hello {{customer_name}}, how can I help?", model="gpt-6-luna", parameters={"temperature": 0.2})
BOTH = Content(text="Hi {{name}}.", model_texts={"small": "Greet {{name}}."})
PARTS = (Message("system", "Be {{mood}}."), Message(placeholder="history"))
CHAT = Content(type="chat", messages=(Message("user", "{{mood}}?"),), model_texts={"small": PARTS})


def test_without_any_the_wire_and_the_checksum_are_as_ever() -> None:
    declared = {"customer_name": {"type": "string"}}
    content = Content(text=PLAIN.text, model=PLAIN.model, parameters=PLAIN.parameters, variables=declared)
    assert "model_texts" not in content.to_dict()
    # The one that docs/spec/delivery.md shows.
    assert content.checksum() == "6ce9e818a6b0b2c1b22229de3f6622f3be50d792a7841d00e745e2d1f7a3db1b"


def test_they_are_part_of_the_wire_and_of_the_checksum() -> None:
    for content in (BOTH, CHAT):
        spec = PromptSpec("a", 1, "", content, content.checksum())
        assert PromptSpec.from_dict(spec.to_dict()) == spec
    assert BOTH.to_dict()["model_texts"] == {"small": "Greet {{name}}."}
    assert CHAT.to_dict()["model_texts"] == {
        "small": [{"role": "system", "content": "Be {{mood}}."}, {"placeholder": "history"}]
    }
    assert len({Content(text=BOTH.text).checksum(), BOTH.checksum()}) == 2


def test_a_model_gets_its_own_text_and_every_other_one_that_of_the_prompt() -> None:
    assert BOTH.for_model("small").text == "Greet {{name}}."
    assert BOTH.for_model("large") is BOTH.for_model("") is BOTH
    assert CHAT.for_model("small").messages == PARTS
    assert BOTH.for_model("small").model_texts == {}
    assert template.render_content(BOTH.for_model("small"), {"name": "Al"}) == "Greet Al."


def test_what_is_included_is_put_into_all_of_them() -> None:
    content = Content(text="{{> a}} {{x}}", model_texts={"small": "{{> b}}{{> a}} {{x}}"})
    assert template.content_includes(content) == ("a", "b")
    whole = template.inline_content(content, {"a": "A", "b": "B {{y}}"})
    assert (whole.text, whole.model_texts) == ("A {{x}}", {"small": "B {{y}}A {{x}}"})
    assert template.content_variables(whole) == ("x", "y")
    parts = template.inline_content(
        Content(type="chat", messages=(Message("user", "x"),), model_texts={"small": (Message("user", "{{> a}}"),)}),
        {"a": "A"},
    )
    assert parts.model_texts == {"small": (Message("user", "A"),)}
