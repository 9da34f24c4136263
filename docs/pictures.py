#!/usr/bin/env python
"""Prepare six experiments and a gradual launch whose outcome is known, and photograph their pages.

    python docs/pictures.py FOLDER [--chromium PATH] [--quick]
    make pictures

Light and dark, 1400 and 390 px wide, in English and Spanish, and as A4; says where a page is wider than its window, what the
content security policy refused, and how many sheets of paper each page takes. Where no folder is named: those that the docs
show, into docs/img. Needs the development requirements, playwright and Chromium; all else it makes for itself in a folder
that is gone afterwards.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WIDTHS = (1400, 390)
SCHEMES = ("light", "dark")
SHOWN = {
    **{
        key: f"experiment-{key}"
        for key in ("clear-win", "clear-loss", "no-difference", "too-early", "broken-split", "raters-differ")
    },
    "launch-1": "launch",
}
SHOWN_AT = {"viewport": {"width": 1400, "height": 1400}, "device_scale_factor": 4 / 7}
"""As large as a page of text shows them, for a page that is 1400 px wide."""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic"]


@contextmanager
def application() -> Iterator[tuple[str, str, list[str]]]:
    """Serve the prepared pages, and give the address, a session of somebody who publishes, and the paths."""
    folder = tempfile.mkdtemp(prefix="promptlab-pictures-")
    os.environ.update(DJANGO_SETTINGS_MODULE="promptlab.settings", PROMPTLAB_VAR=folder, DEBUG="1", LOG_LEVEL="ERROR")
    os.environ["DATABASE_URL"] = os.environ["REDIS_URL"] = ""
    sys.path[:0] = [str(ROOT), str(ROOT / "sdk")]
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from promptlab.management.local_valkey import LocalValkey

    valkey = LocalValkey(settings.VALKEY_SOCKET, settings.VAR_DIR / "valkey")
    valkey.start(timeout_s=60)
    try:
        call_command("migrate", verbosity=0)
        paths, session = _prepare()
        from promptlab.asgi import application as served
        from tests.support.serving import serving

        with serving(served) as address:
            yield address, session, paths
    finally:
        valkey.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _prepare() -> tuple[list[str], str]:
    """Write what is photographed, and return its paths with a session that may see them."""
    from django.test import Client

    from experiments.services import ramping
    from promptlab.accounts.access import Role
    from tests.support.make import make_team, make_user
    from tests.support.prepared import make_stories
    from tests.support.ramps import feed, make_ramp

    team = make_team("Support")
    chloe = make_user("chloe", team, Role.PUBLISHER, first_name="Chloe")
    paths = [f"/dashboards/experiments/{key}/" for key in make_stories(team)]
    going, broken = make_ramp(team, "Refund letter"), make_ramp(team, "Short greeting")
    for ramp, ups in ((going, 96), (broken, 40)):
        feed(ramp, "live", 150, ups=100, ratings=120, errors=1, latency_ms=700)
        feed(ramp, "new", 150, ups=ups, ratings=120, errors=2, latency_ms=720)
    ramping.tick(broken.pk)
    client = Client()
    client.force_login(chloe)
    launches = [f"/admin/experiments/ramp/{ramp.pk}/change/" for ramp in (going, broken)]
    return [*paths, *launches], client.cookies["sessionid"].value


def photograph(page: Any, url: str, name: str, folder: Path, width: int, scheme: str = "light") -> list[str]:
    """Take one picture, and return what is wrong with the page."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme, media="screen")
    page.goto(url, wait_until="networkidle")
    page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
    too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [f"{name} {width} px: {too_wide} px too wide"] if too_wide > 0 else []


def sheets(page: Any, url: str, name: str, folder: Path) -> int:
    """Print the page, and return how many A4 sheets it takes."""
    page.emulate_media(color_scheme="light", media="print")
    page.goto(url, wait_until="networkidle")
    printed = page.pdf(path=folder / f"{name}.pdf", format="A4", margin=dict.fromkeys(("top", "bottom"), "12mm"))
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", printed))


def name_of(path: str) -> str:
    """Return under which name the picture of a page is kept."""
    name = path.strip("/").replace("/change", "").rpartition("/")[2]
    return f"launch-{name}" if name.isdecimal() else name


def photograph_shown(browser: Any, admitted: list[Any], address: str, paths: list[str]) -> None:
    """Take again what the docs show: the top of some pages, in the light."""
    context = browser.new_context(reduced_motion="reduce", **SHOWN_AT)
    context.add_cookies(admitted)
    page = context.new_page()
    for path in paths:
        if file := SHOWN.get(name_of(path)):
            page.goto(address + path, wait_until="networkidle")
            page.screenshot(path=ROOT / "docs" / "img" / f"{file}.png")


def _opened(browser: Any, admitted: list[Any], wrong: list[str], locale: str) -> Any:
    """Return a page of somebody who reads this language; what its console complains of is added to `wrong`."""
    context = browser.new_context(reduced_motion="reduce", locale=locale)
    context.add_cookies(admitted)
    page = context.new_page()
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    return page


def main() -> int:
    """Take all pictures, and return 1 when something is wrong with a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "")
    parser.add_argument("--quick", action="store_true", help="light and 1400 px only")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    wrong: list[str] = []
    with application() as (address, session, paths), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked.chromium or None, args=FLAGS)
        admitted = [{"name": "sessionid", "value": session, "url": address}]
        if asked.folder is None:
            photograph_shown(browser, admitted, address, paths)
            return 0
        asked.folder.mkdir(parents=True, exist_ok=True)
        page, spanish = (_opened(browser, admitted, wrong, locale) for locale in ("en", "es"))
        for path in paths:
            name = name_of(path)
            for scheme in SCHEMES[:1] if asked.quick else SCHEMES:
                for width in WIDTHS[:1] if asked.quick else WIDTHS:
                    wrong += photograph(page, address + path, name, asked.folder, width, scheme)
            for width in () if asked.quick else WIDTHS:
                wrong += photograph(spanish, address + path, f"{name}-es", asked.folder, width)
            sys.stdout.write(f"{name}: {sheets(page, address + path, name, asked.folder)} sheets\n")
        browser.close()
    sys.stdout.write("\n".join([*wrong, ""]) if wrong else "Nothing is too wide, and nothing was refused.\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
