"""The commands and the page: a folder under Git with one file per prompt, and an upload that is looked at first."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from promptlab.accounts.models import Team
from prompts.models import Prompt, Version
from tests.support.cast import Cast
from tests.support.make import make_prompt, make_team, make_version

pytestmark = pytest.mark.django_db


def run(name: str, *args: Any) -> list[str]:
    out = StringIO()
    call_command(name, *map(str, args), stdout=out, stderr=StringIO())
    return out.getvalue().splitlines()


@pytest.mark.parametrize("format", ["yaml", "prompt.yml"])
def test_a_folder_gets_a_file_for_each_prompt_and_only_what_changed_is_written(
    team: Team, tmp_path: Path, format: str
) -> None:
    prompt = make_prompt(team, title="Greeting")
    make_prompt(team, title="Other")
    options = ("--team", team.name, "--format", format, "--to", tmp_path)
    assert run("export_prompts", *options) == [f"wrote greeting.{format}", f"wrote other.{format}"]
    assert run("export_prompts", *options) == []
    assert run("import_prompts", "--team", team.name, "--drift", tmp_path) == []
    make_version(prompt)
    with pytest.raises(SystemExit) as caught:
        run("import_prompts", "--team", team.name, "--drift", tmp_path)
    assert caught.value.code == 1
    assert run("export_prompts", *options) == [f"wrote greeting.{format}"]


def test_a_folder_is_imported_whole_or_not_at_all(team: Team, tmp_path: Path) -> None:
    make_prompt(team, title="Greeting")
    run("export_prompts", "--team", team.name, "--to", tmp_path)
    (tmp_path / "short.prompt.yml").write_text("messages:\n- role: user\n  content: Hi {{name}}\n")
    (tmp_path / "README.md").write_text("# Ours")
    other = make_team()
    assert run("import_prompts", "--team", other.name, "--dry-run", tmp_path) == [
        "greeting: A new prompt with version 1.",
        "short: A new prompt with version 1.",
    ]
    assert not Prompt.objects.filter(team=other).exists()
    (tmp_path / "z.yaml").write_text("promptlab: 1\nprompts:\n- name: z\n  versions:\n  - text: '{{'\n")
    with pytest.raises(CommandError, match=r"z\.yaml, line 5"):
        run("import_prompts", "--team", other.name, tmp_path)
    assert not Prompt.objects.filter(team=other).exists()
    (tmp_path / "z.yaml").unlink()
    run("import_prompts", "--team", other.name, tmp_path)
    assert sorted(Prompt.objects.filter(team=other).values_list("name", flat=True)) == ["greeting", "short"]


def test_drift_names_each_difference(team: Team, tmp_path: Path, capsys: Any) -> None:
    prompt = make_prompt(team, title="Greeting")
    run("export_prompts", "--team", team.name, "--to", f"{tmp_path}/")
    make_version(prompt)
    make_prompt(team, title="New")
    (tmp_path / "gone.yaml").write_text("promptlab: 1\nprompts:\n- name: gone\n  versions:\n  - text: x\n")
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("import_prompts", "--team", team.name, "--drift", str(tmp_path), stdout=out)
    assert out.getvalue().splitlines() == [
        "gone: only in gone.yaml.",
        "greeting: greeting.yaml and the database differ.",
        "new: only in the database.",
    ]


def test_a_file_goes_to_standard_output_or_where_it_is_said(team: Team, tmp_path: Path) -> None:
    make_prompt(team, title="Greeting")
    assert run("export_prompts", "--team", team.name)[0] == "promptlab: 1"
    target = tmp_path / "all.yaml"
    run("export_prompts", "--team", team.name, "--to", target)
    before = target.stat().st_mtime_ns
    run("export_prompts", "--team", team.name, "--to", target)
    assert target.stat().st_mtime_ns == before
    assert run("import_prompts", "--team", team.name, target) == ["greeting: Nothing changes."]


def test_what_a_command_is_told_wrong_is_a_sentence(team: Team, tmp_path: Path) -> None:
    for args, sentence in (
        (("export_prompts", "--team", "Nobody"), "no team"),
        (("export_prompts", "--team", team.name, "--collection", "X"), "no collection"),
        (("import_prompts", "--team", team.name, tmp_path / "nothing"), "no file or folder"),
    ):
        with pytest.raises(CommandError, match=sentence):
            run(*args)
    (tmp_path / "bad.yaml").write_bytes(b"a: &a 1\n")
    with pytest.raises(CommandError, match=r"bad\.yaml: Line 1, a: anchors"):
        run("import_prompts", "--team", team.name, tmp_path)


# The page

URL = "/admin/prompts/prompt/transfer/"
FILE = b'promptlab: 1\nprompts:\n- name: new\n  versions:\n  - text: "Hi {{name}}\\r\\n"\n'


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def hidden(html: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(packed|team|name)" value="([^"]*)"', html))


def test_a_file_is_looked_at_before_it_is_imported(cast: Cast) -> None:
    ann = signed_in(cast.ann)
    assert reverse("admin:prompts_prompt_transfer") == URL
    assert URL in ann.get("/admin/prompts/prompt/").content.decode()
    preview = ann.post(URL, {"file": SimpleUploadedFile("x.yaml", FILE)}).content.decode()
    assert "A new prompt with version 1." in preview
    assert not Prompt.objects.exists()
    done = ann.post(URL, {**hidden(preview), "go": "1"}, follow=True).content.decode()
    assert "1 prompt is imported." in done
    assert Version.objects.get().text == "Hi {{name}}\r\n"


def test_a_pasted_text_is_as_good_and_a_bad_one_says_where(cast: Cast) -> None:
    ann = signed_in(cast.ann)
    pasted = "messages:\r\n- role: user\r\n  content: Hi\r\n"
    assert "A new prompt" in ann.post(URL, {"text": pasted, "name": "hello"}).content.decode()
    bad = ann.post(URL, {"text": "promptlab: 1\nprompts: 5"}).content.decode()
    assert "Line 2" in bad
    for nothing in ({}, {"packed": "&&"}, {"text": "a", "go": "1"}):
        assert ann.post(URL, nothing).status_code == 200
    assert not Prompt.objects.exists()


def test_everybody_may_download_and_only_writers_upload(cast: Cast) -> None:
    make_prompt(cast.team, title="Greeting")
    vic, zoe = signed_in(cast.vic), signed_in(cast.zoe)
    file = vic.get(URL, {"format": "yaml"})
    assert (file.headers["Content-Disposition"], b"greeting" in file.content) == (
        'attachment; filename="prompts.yaml"',
        True,
    )
    assert b"greeting" not in zoe.get(URL, {"format": "json"}).content
    page = vic.get(URL).content.decode()
    assert "Download" in page
    assert 'name="file"' not in page
    assert vic.post(URL, {"text": FILE.decode()}).status_code == 403


def test_one_prompt_is_downloaded_in_every_format_and_other_versions(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "First.", title="Greeting")
    make_version(prompt, "Second.")
    make_prompt(cast.team, title="Other")
    vic = signed_in(cast.vic)
    link = f"{URL}?only=greeting"
    assert link in vic.get(f"/admin/prompts/prompt/{prompt.pk}/settings/").content.decode()
    assert 'value="greeting"' in vic.get(link).content.decode()
    for format in ("yaml", "prompt.yml", "dotprompt", "prompty"):
        file = vic.get(URL, {"format": format, "only": "greeting"})
        assert "attachment" in file.headers["Content-Disposition"] and b"Second." in file.content, format
    assert b"First." not in vic.get(URL, {"format": "yaml", "only": "greeting", "versions": "newest"}).content
    for wrong in ({"only": ""}, {"only": "nobody"}):
        assert 'href="#id_only"' in vic.get(URL, {"format": "prompty", **wrong}).content.decode(), wrong
