"""Writing through the pages: a new prompt, new versions, settings, archiving."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client
from django.urls import reverse

from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from prompts.models import Deployment, Prompt, Version
from prompts.services import authoring, collecting, fields
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_user, make_version, newest

ADD = "/admin/prompts/prompt/add/"


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(prompt: Prompt, name: str = "change") -> str:
    return reverse(f"admin:prompts_prompt_{name}", args=[prompt.pk])


def filled_in(html: str) -> dict[str, str]:
    """Return what a browser would send of the page's own form: hidden fields, text areas, inputs, selects."""
    form = html[html.index('<form method="post" id="write"') :]
    found = dict(re.findall(r'<input[^>]*?name="([^"]+)"[^>]*?value="([^"]*)"', form))
    found |= {name: "" for name in re.findall(r'<input type="text" name="([^"]+)"', form) if name not in found}
    for name, text in re.findall(r'<textarea name="([^"]+)"[^>]*>\n(.*?)</textarea>', form, re.S):
        found[name] = text.replace("&#x27;", "'").replace("&quot;", '"')
    for name, options in re.findall(r'<select name="([^"]+)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options)
        found[name] = chosen[1] if chosen else ""
    found.pop("csrfmiddlewaretoken", None)
    return found


def new_version(prompt: Prompt, **fields: Any) -> dict[str, Any]:
    return {
        "started_from": newest(prompt).number,
        "text": "Hello {{name}}, welcome.",
        "message": "Warmer",
        "version_string": "",
        "model": "",
        **fields,
    }


def test_writing_a_prompt_makes_version_1_and_nothing_goes_live(cast: Cast) -> None:
    collection = collecting.create_collection(SYSTEM, cast.team.pk, name="Support")
    sent = {
        "title": "Support reply",
        "text": "Answer {{question}}.\r\nBe kind.",
        "description": "First answers",
        "collection": collection.pk,
        "tags": "email, tone , email",
        "model": "",
        "name": "",
    }
    answer = signed_in(cast.ann).post(ADD, sent, follow=True)
    prompt = Prompt.objects.get(name="support-reply")
    assert answer.redirect_chain == [(page_of(prompt, "moves"), 302)]
    assert "Version 1 is saved. It is not live yet." in answer.content.decode()
    assert newest(prompt).text == "Answer {{question}}.\nBe kind."
    assert sorted(tag.name for tag in prompt.tags.all()) == ["email", "tone"]
    assert prompt.collection == collection and prompt.owner == cast.ann
    assert not Deployment.objects.exists()


def test_writing_message_parts_makes_a_chat_prompt(cast: Cast) -> None:
    sent = {"title": "Triage", "role_0": "system", "part_0": "Sort tickets.", "role_2": "user", "part_2": "{{ticket}}"}
    signed_in(cast.ann).post(ADD, {**sent, "role_1": "placeholder", "part_1": "history"})
    prompt = Prompt.objects.get()
    assert prompt.type == "chat"
    assert newest(prompt).messages == [
        {"role": "system", "content": "Sort tickets."},
        {"placeholder": "history"},
        {"role": "user", "content": "{{ticket}}"},
    ]


def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays(cast: Cast) -> None:
    sent = {"title": "", "text": "Hello {{customer name}}", "description": "kept words"}
    html = signed_in(cast.ann).post(ADD, sent).content.decode()
    assert "kept words" in html and "Hello {{customer name}}" in html
    assert 'href="#id_title"' in html
    html = signed_in(cast.ann).post(ADD, {**sent, "title": "Hi"}).content.decode()
    assert 'href="#id_text"' in html and "line 1" in html
    assert not Prompt.objects.exists()


def test_a_wrong_message_part_is_shown_at_its_own_row(cast: Cast) -> None:
    sent = {"title": "Triage", "role_0": "system", "part_0": "", "role_3": "user", "part_3": "{{open"}
    html = signed_in(cast.ann).post(ADD, sent).content.decode()
    assert 'href="#id_part_3"' in html
    assert not Prompt.objects.exists()


def test_a_text_and_parts_at_once_are_refused(cast: Cast) -> None:
    sent = {"title": "Both", "text": "One", "role_0": "system", "part_0": "Two"}
    assert "not both" in signed_in(cast.ann).post(ADD, sent).content.decode()


def test_an_empty_text_is_refused(cast: Cast) -> None:
    html = signed_in(cast.ann).post(ADD, {"title": "Empty", "text": "  "}).content.decode()
    assert "The prompt text is empty." in html or 'href="#id_text"' in html
    assert not Prompt.objects.exists()


def test_a_taken_short_name_is_said_at_the_short_name(cast: Cast) -> None:
    make_prompt(cast.team, name="taken")
    html = signed_in(cast.ann).post(ADD, {"title": "Again", "text": "Hi", "name": "taken"}).content.decode()
    assert 'href="#id_name"' in html and "is taken" in html


def test_viewers_are_told_which_role_writing_takes(cast: Cast) -> None:
    for answer in (signed_in(cast.vic).get(ADD), signed_in(cast.vic).post(ADD, {"title": "No", "text": "No"})):
        assert answer.status_code == 403
        assert "writer" in answer.content.decode()
    assert not Prompt.objects.exists()


def test_collections_of_other_teams_cannot_be_chosen(cast: Cast) -> None:
    foreign = collecting.create_collection(SYSTEM, cast.zoe.memberships.get().team_id, name="Foreign")
    zoes = signed_in(cast.ann).post(ADD, {"title": "Mine", "text": "Hi", "collection": foreign.pk})
    assert 'href="#id_collection"' in zoes.content.decode()
    assert not Prompt.objects.exists()


def test_who_writes_in_several_teams_says_which(cast: Cast) -> None:
    both = make_user("both", cast.team, "writer")
    other = cast.zoe.memberships.get().team
    from promptlab.accounts import services

    services.add_member(SYSTEM, other, both, "writer")
    client = signed_in(both)
    assert 'href="#id_team"' in client.post(ADD, {"title": "Where", "text": "Hi"}).content.decode()
    client.post(ADD, {"title": "Where", "text": "Hi", "team": other.pk})
    assert Prompt.objects.get().team == other


def test_page_asks_a_constant_number_of_questions(cast: Cast, django_assert_max_num_queries) -> None:
    prompt = make_prompt(cast.team, tags=["a"])
    for environment in ("development", "staging", "production"):
        make_live(newest(prompt), environment)
    client = signed_in(cast.cleo)
    with django_assert_max_num_queries(20) as seen:
        assert client.get(page_of(prompt)).status_code == 200
    few = len(seen)
    for _ in range(9):
        make_live(make_version(prompt))
    with django_assert_max_num_queries(few):
        client.get(page_of(prompt))


def test_a_long_life_is_shown_in_part_with_a_way_to_all_of_it(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "Text 0")
    for number in range(1, 52):
        make_version(prompt, f"Text {number}")
    html = signed_in(cast.vic).get(page_of(prompt, "versions")).content.decode()
    assert ">v3</a>" in html and ">v2</a>" not in html and "Page 1 of 2" in html and "Versions (52)" in html
    assert ">v2</a>" in signed_in(cast.vic).get(page_of(prompt, "versions") + "?page=2").content.decode()


def test_strangers_find_no_page(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    for name in ("change", "versions", "moves", "settings", "archive", "restore", "compare", "history"):
        assert signed_in(cast.zoe).get(page_of(prompt, name)).status_code == 404, name
        assert Client().get(page_of(prompt, name)).status_code == 302, name
    assert signed_in(cast.zoe).post(page_of(prompt), new_version(prompt)).status_code == 404


def test_odd_addresses_are_not_found(cast: Cast) -> None:
    for odd in ("x", "0", "99999999999999999999999", "-1", "1.5"):
        assert signed_in(cast.ann).get(f"/admin/prompts/prompt/{odd}/change/").status_code == 404, odd


def test_viewers_read_and_are_told_who_writes(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "The text to read.")
    html = signed_in(cast.vic).get(page_of(prompt)).content.decode()
    assert "The text to read." in html and "Only writers can change this text." in html
    assert "<textarea" not in html
    assert signed_in(cast.vic).post(page_of(prompt), new_version(prompt)).status_code == 403


def test_saving_makes_the_next_version_and_leaves_live_alone(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    make_live(newest(prompt))
    client = signed_in(cast.ann)
    assert "Save as v2" in client.get(page_of(prompt)).content.decode()
    html = client.post(page_of(prompt), new_version(prompt, version_string="v1.1"), follow=True).content.decode()
    assert "v2 is saved. What is live did not change." in html
    saved = newest(prompt)
    assert (saved.number, saved.version_string, saved.message, saved.author) == (2, "v1.1", "Warmer", cast.ann)
    assert Deployment.objects.get(prompt=prompt).version.number == 1


def test_the_same_text_is_not_saved_again(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "Line one.\nLine two.")
    sent = new_version(prompt, text="Line one.\r\nLine two.")
    html = signed_in(cast.ann).post(page_of(prompt), sent).content.decode()
    assert "This is the same as v1. Nothing was saved." in html
    assert Version.objects.count() == 1


def test_the_page_sent_back_as_it_came_is_the_same_text(cast: Cast) -> None:
    parts = [{"role": "system", "content": "A\nB"}, {"placeholder": "history"}, {"role": "user", "content": "{{q}}"}]
    for prompt in (make_prompt(cast.team, "One\n\n two {{x}}"), make_prompt(cast.team, messages=parts)):
        client = signed_in(cast.ann)
        sent = {**filled_in(client.get(page_of(prompt)).content.decode()), "message": "Nothing"}
        assert "Nothing was saved." in client.post(page_of(prompt), sent).content.decode()
        assert newest(prompt).number == 1


def test_settings_that_the_form_does_not_show_are_kept(cast: Cast) -> None:
    variables = {"name": {"description": "Who is greeted"}}
    prompt = make_prompt(cast.team, "Hello {{name}}.", parameters={"temperature": 0}, variables=variables)
    signed_in(cast.ann).post(page_of(prompt), new_version(prompt))
    saved = newest(prompt)
    assert saved.parameters == {"temperature": 0}
    assert saved.variables["name"]["description"] == "Who is greeted"


def test_a_version_needs_a_reason(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    html = signed_in(cast.ann).post(page_of(prompt), new_version(prompt, message="")).content.decode()
    assert 'href="#id_message"' in html and "Hello {{name}}, welcome." in html
    assert newest(prompt).number == 1


def test_a_taken_version_name_is_said_at_its_field(cast: Cast) -> None:
    prompt = make_prompt(cast.team, version_string="v1.0")
    html = signed_in(cast.ann).post(page_of(prompt), new_version(prompt, version_string="v1.0")).content.decode()
    assert 'href="#id_version_string"' in html
    html = signed_in(cast.ann).post(page_of(prompt), new_version(prompt, text="Hello {{name")).content.decode()
    assert 'href="#id_text"' in html


def test_two_editors_of_one_text_lose_nothing(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "Hello.")
    mine = new_version(prompt, text="Hello from Ann.")
    make_version(prompt, "Hello from somebody else.")
    client = signed_in(cast.ann)
    html = client.post(page_of(prompt), mine).content.decode()
    assert "saved v2 while you were writing" in html
    assert "Hello from <del>somebody else</del>." in html and "Hello from <ins>Ann</ins>." in html
    assert "Save mine as v3" in html
    assert newest(prompt).number == 2
    client.post(page_of(prompt), {**filled_in(html), "message": "Mine after all"})
    assert (newest(prompt).number, newest(prompt).text) == (3, "Hello from Ann.")


def test_settings_change_title_collection_and_tags(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Old", tags=["one"])
    collection = collecting.create_collection(SYSTEM, cast.team.pk, name="Support")
    sent = {"title": "New", "description": "For mails", "collection": collection.pk, "tags": "two, three"}
    answer = signed_in(cast.ann).post(page_of(prompt, "settings"), sent, follow=True)
    assert "The settings are saved." in answer.content.decode()
    prompt.refresh_from_db()
    assert (prompt.title, prompt.description, prompt.collection) == ("New", "For mails", collection)
    assert sorted(tag.name for tag in prompt.tags.all()) == ["three", "two"]
    assert newest(prompt).number == 1
    signed_in(cast.ann).post(page_of(prompt, "settings"), {**sent, "collection": "", "tags": ""})
    prompt.refresh_from_db()
    assert prompt.collection is None and not prompt.tags.exists()


def test_wrong_settings_keep_what_was_typed(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Old")
    sent = {"title": " ", "description": "kept", "collection": "", "tags": "x" * 60}
    html = signed_in(cast.ann).post(page_of(prompt, "settings"), sent).content.decode()
    assert "kept" in html and 'href="#id_title"' in html
    html = signed_in(cast.ann).post(page_of(prompt, "settings"), {**sent, "title": "New"}).content.decode()
    assert "at most 50 characters" in html and 'href="#id_tags"' in html
    prompt.refresh_from_db()
    assert prompt.title == "Old"


def test_archiving_asks_first_and_can_be_undone(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Old news")
    make_live(newest(prompt))
    client = signed_in(cast.ann)
    page = client.get(page_of(prompt, "archive")).content.decode()
    assert "Nothing is deleted" in page and "stays live in Production" in page
    prompt.refresh_from_db()
    assert prompt.archived_at is None
    done = client.post(page_of(prompt, "archive"), follow=True).content.decode()
    assert "Old news is archived." in done and page_of(prompt, "restore") in done
    html = client.get(page_of(prompt)).content.decode()
    assert "This prompt is archived." in html and "<textarea" not in html
    client.post(page_of(prompt, "restore"))
    prompt.refresh_from_db()
    assert prompt.archived_at is None


def test_an_archived_prompt_takes_no_new_version(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    authoring.archive_prompt(SYSTEM, prompt)
    answer = signed_in(cast.ann).post(page_of(prompt), new_version(prompt))
    assert answer.status_code == 200
    assert newest(prompt).number == 1
    assert "archived" in answer.content.decode()


def test_archiving_is_for_writers(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    assert signed_in(cast.vic).post(page_of(prompt, "archive")).status_code == 403
    assert "<textarea" not in signed_in(cast.vic).get(page_of(prompt, "settings")).content.decode()
    assert signed_in(cast.vic).post(page_of(prompt, "settings"), {"title": "Mine"}).status_code == 403
    prompt.refresh_from_db()
    assert prompt.archived_at is None


def test_compare_shows_lines_blanks_and_settings(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "Hello {{name}}.\nBye.")
    make_version(prompt, "Hello {{name}} from {{city}}.\nBye.", model="echo")
    html = signed_in(cast.vic).get(page_of(prompt, "compare")).content.decode()
    assert "<td>Hello {{name}}.</td><td>Hello {{name}}<ins> from {{city}}</ins>.</td>" in html
    assert "New blanks: {{city}}" in html
    assert "<ins>echo</ins>" in html
    assert (
        "These are the same text." in signed_in(cast.vic).get(page_of(prompt, "compare") + "?a=1&b=1").content.decode()
    )


def test_comparing_with_what_is_not_there_is_not_found(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    assert signed_in(cast.vic).get(page_of(prompt, "compare") + "?a=7&b=1").status_code == 404


def test_a_version_is_shown_and_cannot_be_changed(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "First text.")
    make_live(newest(prompt))
    second = make_version(prompt, "Second text.", message="Better")
    url = reverse("admin:prompts_version_change", args=[second.pk])
    client = signed_in(cast.ann)
    html = client.get(url).content.decode()
    assert "Second text." in html and "Better" in html and "Compared with v1, live in Production" in html
    client.post(url, {"text": "Changed"})
    assert newest(prompt).text == "Second text."
    assert signed_in(cast.zoe).get(url).status_code == 404
    assert client.get(reverse("admin:prompts_version_add")).status_code == 403


def test_history_tells_what_happened(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Told")
    signed_in(cast.ann).post(page_of(prompt), new_version(prompt))
    signed_in(cast.ann).post(page_of(prompt, "archive"))
    html = signed_in(cast.ann).get(page_of(prompt, "history")).content.decode()
    assert "archived Told" in html and "wrote the prompt Told" in html
    assert signed_in(cast.vic).get(page_of(prompt, "history")).status_code == 403


def test_nothing_is_deleted_through_the_pages(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    assert signed_in(cast.cleo).post(f"/admin/prompts/prompt/{prompt.pk}/delete/", {"post": "yes"}).status_code == 403
    sent = {"action": "delete_selected", "_selected_action": [prompt.pk], "index": 0, "post": "yes"}
    signed_in(cast.cleo).post("/admin/prompts/prompt/", sent)
    assert Prompt.objects.filter(pk=prompt.pk).exists()


def test_every_write_is_in_the_activity_log_under_the_persons_name(cast: Cast) -> None:
    signed_in(cast.ann).post(ADD, {"title": "Logged", "text": "Hi"})
    entry = AuditEntry.objects.get(verb="prompt.created")
    assert (entry.actor_kind, entry.actor_id, entry.actor_label) == ("user", cast.ann.pk, "Ann")


def test_a_new_prompt_is_given_its_fields_and_its_kind_of_model(cast: Cast) -> None:
    fields.create_field(SYSTEM, cast.team.pk, key="audience", title="Who reads it")
    fields.create_field(SYSTEM, cast.team.pk, key="size", title="Size", type="number")
    ann = signed_in(cast.ann)
    assert "Who reads it" in ann.get(ADD).content.decode()
    sent = {"title": "Greeting", "text": "Hello.", "model_type": "chat", "metadata_audience": "Nurses"}
    wrong = ann.post(ADD, {**sent, "metadata_size": "many"}).content.decode()
    assert 'href="#id_metadata_size"' in wrong and not Prompt.objects.exists()
    ann.post(ADD, {**sent, "metadata_size": ""})
    made = Prompt.objects.get()
    assert (made.model_type, [(one.field.key, one.value) for one in made.metadata.all()]) == (
        "chat",
        [("audience", "Nurses")],
    )
    settings = page_of(made, "settings")
    assert 'value="chat"' in ann.get(settings).content.decode()
    ann.post(settings, {"title": "Greeting", "model_type": "reasoning", "metadata_audience": "Nurses"})
    made.refresh_from_db()
    assert made.model_type == "reasoning"


def test_an_administrator_lets_through_what_looks_like_a_key(cast: Cast) -> None:
    """A writer is refused and not even asked; the reason is in the activity log, the key is not."""
    canary = "sk-" + "proj-" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7"
    sent = {"title": "Greeting", "text": f"Use {canary}.", "allow_secret": "An example, revoked."}
    ann, cleo = signed_in(cast.ann), signed_in(cast.cleo)
    assert "allow_secret" not in ann.get(ADD).content.decode() and "allow_secret" in cleo.get(ADD).content.decode()
    assert "Line 1 has a key of a model provider." in ann.post(ADD, sent).content.decode()
    assert "Line 1 has a key" in cleo.post(ADD, {**sent, "allow_secret": ""}).content.decode()
    assert not Prompt.objects.exists()
    assert cleo.post(ADD, sent).status_code == 302
    assert AuditEntry.objects.get(verb="secret.allowed").note == "An example, revoked."
    prompt = make_prompt(cast.team, "Hello.", title="Other")
    page, again = page_of(prompt), new_version(prompt, text=f"Hello {canary}.", allow_secret="The same example.")
    assert "allow_secret" not in ann.get(page).content.decode() and "allow_secret" in cleo.get(page).content.decode()
    assert "has a key of a model provider" in ann.post(page, again).content.decode()
    cleo.post(page, again)
    assert newest(prompt).number == 2
    assert AuditEntry.objects.filter(verb="secret.allowed").count() == 2
