"""The proxy of compose.yaml and deploy/k8s sends every hot route to the gateway; the web would answer 404."""

from __future__ import annotations

import re

from django.conf import settings

CADDYFILE = settings.BASE_DIR / "deploy" / "Caddyfile"


def examples(pattern: str) -> list[str]:
    """Return addresses that a hot route answers."""
    plain = re.sub(r"\(\?P<\w+>\[\^/\]\+\)", "something", pattern)
    plain = plain.replace("(?:/api/v1)?", "", 1).removesuffix("/?\\Z")
    return [plain, f"{plain}/", f"/api/v1{plain}"] if "(?:/api/v1)?" in pattern else [plain, f"{plain}/"]


def hot_paths() -> re.Pattern[str]:
    """Return the proxy's pattern."""
    found = re.search(r"@hot path_regexp (\S+)", CADDYFILE.read_text())
    assert found is not None
    return re.compile(found[1])


def test_the_proxy_knows_every_hot_route() -> None:
    from promptlab.asgi import application

    paths = [path for route in application.routes for path in examples(route.pattern.pattern)]
    assert len(paths) >= 9
    assert [path for path in paths if not hot_paths().search(path)] == []


def test_pages_and_rest_go_to_the_web() -> None:
    paths = [
        "/",
        "/admin/",
        "/dashboards/",
        "/static/promptlab/css/base.css",
        "/prompts",
        "/api/v1/prompts/tour/versions",
    ]
    assert [path for path in paths if hot_paths().search(path)] == []
