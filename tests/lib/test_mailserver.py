"""A mail server in one address."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptlab.lib import env
from promptlab.lib.mailserver import MailServer, parse


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("console", MailServer()),
        ("console:", MailServer()),
        ("smtp://mail.example.com", MailServer("mail.example.com", 25)),
        (
            "smtp+tls://ann%40example.com:p%2Fw@mail.example.com",
            MailServer("mail.example.com", 587, "ann@example.com", "p/w", use_starttls=True),
        ),
        ("SMTPS://mail.example.com:2465", MailServer("mail.example.com", 2465, use_tls=True)),
    ],
)
def test_an_address_says_all(address: str, expected: MailServer) -> None:
    assert parse(address) == expected


@pytest.mark.parametrize("address", ["mail.example.com", "http://x", "smtp://", "smtp://x:port", "smtp://[x", "x"])
def test_a_wrong_one_is_noted_without_its_password(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "problems", [])
    monkeypatch.setenv("EMAIL_URL", address.replace("://", "://ann:hush-hush@", 1))
    assert env.env_mail("EMAIL_URL") == MailServer()
    [problem] = env.problems
    assert problem.name == "EMAIL_URL" and "hush" not in str(problem)


def test_it_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mail"
    file.write_text("smtps://mail.example.com\n")
    monkeypatch.delenv("EMAIL_URL", raising=False)
    monkeypatch.setenv("EMAIL_URL_FILE", str(file))
    assert env.env_mail("EMAIL_URL").host == "mail.example.com"


def test_the_class_that_sends_and_what_is_open() -> None:
    assert parse("console").backend.endswith("console.EmailBackend")
    assert parse("smtp://x").backend.endswith("smtp.EmailBackend")
    open_ones = [
        address
        for address in ("smtp://a:b@x", "smtp://x", "smtp+tls://a:b@x", "smtps://a:b@x", "smtp://a:b@localhost")
        if parse(address).is_open
    ]
    assert open_ones == ["smtp://a:b@x"]
