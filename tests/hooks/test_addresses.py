"""Where webhooks may go: nothing that leads into our network, however it is spelled."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from promptlab.hooks import addresses
from promptlab.hooks.services.posting import Outcome, Parcel, post_all
from promptlab.lib.addresses import AddressRefused, is_public, resolve
from promptlab.lib.sealing import seal
from tests.hooks.receiver import receiving

REFUSED = [
    "", "x", "example.com", "//example.com", "https:", "https://", "https:///x", "https:example.com", "https:/example.com",
    "http://example.com/", "ftp://example.com", "file:///etc/passwd", "gopher://example.com", "javascript:alert(1)",
    "https://localhost", "https://LOCALHOST/", "https://localhost.", "https://a.localhost", "https://db.internal",
    "https://printer.local", "https://host", "https://metadata.google.internal/", "https://x.localdomain",
    "https://127.0.0.1", "https://127.1", "https://127.0.1", "https://2130706433", "https://0x7f000001", "https://0x7f.1",
    "https://017700000001", "https://0177.0.0.1", "https://127.0.0.0x1", "https://127.0.0.1.", "https://0", "https://0.0.0.0",
    "https://10.0.0.1", "https://172.16.0.1", "https://192.168.1.1", "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1", "https://100.100.100.200", "https://192.0.0.8", "https://192.88.99.1", "https://198.18.0.1",
    "https://192.0.2.1", "https://203.0.113.1", "https://224.0.0.1", "https://240.0.0.1", "https://255.255.255.255",
    "https://256.256.256.256", "https://1.2.3.4.5", "https://1.2.3.999",
    "https://[::1]", "https://[::]", "https://[0:0:0:0:0:0:0:1]", "https://[::127.0.0.1]", "https://[::ffff:127.0.0.1]",
    "https://[::ffff:8.8.8.8]", "https://[::ffff:7f00:1]", "https://[64:ff9b::7f00:1]", "https://[64:ff9b::808:808]",
    "https://[64:ff9b:1::1]", "https://[2002:7f00:1::]", "https://[2002:808:808::1]", "https://[2001::1]",
    "https://[2001:db8::1]", "https://[fe80::1]", "https://[fe80::1%25eth0]", "https://[fec0::1]", "https://[fc00::1]",
    "https://[fd00:ec2::254]", "https://[ff02::1]", "https://[100::1]", "https://[3fff::1]", "https://[5f00::1]",
    "https://[::1", "https://::1", "https://[1::2::3]", "https://[127.0.0.1]", "https://[v1.x]",
    "https://user@example.com", "https://user:pass@example.com", "https://example.com@127.0.0.1",
    "https://127.0.0.1@example.com", "https://example.com:80@127.0.0.1", "https://example.com\\@127.0.0.1",
    "https://example.com%40127.0.0.1", "https://127.0.0.1%2f.example.com", "https://example.com#@127.0.0.1",
    "https://example.com/#x", "https:\\\\example.com", "https://example.com\\.evil.com", "https://%31%32%37.0.0.1",
    "https://127。0。0。1", "https://①②⑦.0.0.1", "https://ex\u00e4mple.com", "https://example\u2024com",
    "https://exam ple.com", " https://example.com", "https://example.com ", "https://example.com\n", "https://exa\tmple.com",
    "https://example.com/a b", "https://example.com/\r\nHost: x", "https://example.com\x00.evil.com", "https://example.com/\u00e4",
    "https://example.com:0", "https://example.com:65536", "https://example.com:", "https://example.com:x",
    "https://example.com:443:80", "https://-a.example.com", "https://a_b.example.com", "https://a..example.com",
    "https://.example.com", "https://" + "a" * 64 + ".com", "https://" + "a." * 130 + "com", "https://example.com/" + "a" * 1000,
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_is_not_plainly_public_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        addresses.parse(url)
    assert refused.value.detail == AddressRefused.detail
    assert refused.value.problems[0].field == "url"


def test_there_are_enough_forms() -> None:
    assert len(set(REFUSED)) == len(REFUSED) >= 100


@pytest.mark.parametrize(
    ("url", "host", "header", "called"),
    [
        ("https://hooks.example.com", "hooks.example.com", "hooks.example.com", "https://9.9.9.9:443/"),
        ("HTTPS://Hooks.Example.COM/A?b=c", "hooks.example.com", "hooks.example.com", "https://9.9.9.9:443/A?b=c"),
        ("https://example.com:8443?x", "example.com", "example.com:8443", "https://9.9.9.9:8443/?x"),
        ("https://xn--bcher-kva.example/x%20y", "xn--bcher-kva.example", "xn--bcher-kva.example", "https://9.9.9.9:443/x%20y"),
        ("https://8.8.8.8/", "8.8.8.8", "8.8.8.8", "https://9.9.9.9:443/"),
        ("https://[2606:4700:0::1111]/", "2606:4700::1111", "[2606:4700::1111]", "https://9.9.9.9:443/"),
    ],
)  # fmt: skip
def test_a_public_address_is_taken_apart_once(url: str, host: str, header: str, called: str) -> None:
    target = addresses.parse(url)
    assert (target.host, target.host_header, target.at("9.9.9.9")) == (host, header, called)
    assert target.is_trusted is False


@pytest.mark.parametrize(
    "address",
    ["100.64.0.1", "224.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fec0::1", "192.0.0.8", "192.88.99.1",
     "ff0e::1", "::ffff:8.8.8.8", "10.1.2.3", "127.0.0.1", "::1", "2001::1", "0.0.0.0"],
)  # fmt: skip
def test_what_python_takes_for_global_is_not_public_here(address: str) -> None:
    assert is_public(ip_address(address)) is False


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:80e::200e"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address)) is True


def leads_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names lead where `answers` say, one answer a question; return the questions."""
    asked: list[str] = []
    waiting = list(answers)

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        asked.append(host)
        found = waiting.pop(0)
        if not found:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], ["fe80::1%eth0"], ["::ffff:8.8.8.8"], ["x"], []]
)
def test_a_name_is_refused_when_one_of_its_addresses_is_not_public(
    monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    leads_to(monkeypatch, found)
    with pytest.raises(AddressRefused):
        asyncio.run(resolve(addresses.parse("https://hooks.example.com")))


def test_a_name_that_leads_inside_is_told_as_not_reached_and_never_called(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as inside:
        leads_to(monkeypatch, ["127.0.0.1"])
        url = inside.url.replace("http://127.0.0.1", "https://hooks.example.com")
        assert post_all([Parcel(url, "msg_1", b"{}", (seal("whsec_AAAA"),))]) == [Outcome(error="not reached")]
        assert inside.got == []


def test_the_checked_address_is_the_one_that_is_called(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """A name that leads elsewhere the second time is asked once only."""
    settings.WEBHOOK_ALLOWED_PRIVATE = ["hooks.example.com"]
    with receiving() as receiver:
        asked = leads_to(monkeypatch, ["127.0.0.1"], ["10.255.255.1"])
        url = receiver.url.replace("127.0.0.1", "hooks.example.com")
        [outcome] = post_all([Parcel(url, "msg_1", b"{}", (seal("whsec_AAAA"),))])
        assert (outcome.status, asked) == (200, ["hooks.example.com"])
        assert receiver.got[0].headers["host"] == url.split("/")[2]


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_PRIVATE = ["127.0.0.1"]
    with receiving() as receiver, receiving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert post_all([Parcel(receiver.url, "msg_1", b"{}", (seal("whsec_AAAA"),))])[0].is_success
        assert (len(receiver.got), proxy.got) == (1, [])


def test_the_operator_allows_a_host_and_no_other(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_PRIVATE = ["hooks.internal", "[::1]"]
    assert addresses.parse("http://hooks.internal:8080/x").is_trusted
    assert addresses.parse("http://[::1]/").is_trusted
    for url in ("http://127.0.0.1/", "http://x.hooks.internal/", "http://user@hooks.internal/"):
        with pytest.raises(AddressRefused):
            addresses.parse(url)
