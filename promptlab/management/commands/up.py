"""`manage.py up`: everything PromptLab needs on one machine, with nothing configured. `make run` calls it."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand

from promptlab.management import preparing, welcome
from promptlab.management.errors import CannotStart
from promptlab.management.first_start import FirstStart, Secrets
from promptlab.management.local_valkey import LocalValkey, NoServerFound

if TYPE_CHECKING:
    from promptlab.management.supervisor import Supervisor


class Command(BaseCommand):
    """Prepares what is missing, then runs valkey, web and worker (with the clock inside) under one supervisor."""

    help = "Run everything on this machine: Valkey, web, worker and clock. Ctrl-C stops it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, default=8000, help="the port to listen on (default: 8000)")

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        try:
            preparing.refuse_taken_port(host, port)
            with preparing.only_one_here():
                code = self._run(host, port)
        except CannotStart as error:
            self.stderr.write(str(error))
            code = 1
        except KeyboardInterrupt:
            code = 130
        sys.exit(code)

    def _run(self, host: str, port: int) -> int:
        programs = {**_valkey(), **_programs(host, port)}
        supervisor = _supervisor()
        self.check(tags=[Tags.security])
        first = FirstStart()
        with preparing.alone():
            secrets = self._prepare(first)

        def announce() -> None:
            welcome.wait_until_ready(host, port, supervisor.say)
            supervisor.say(welcome.welcome(welcome.address_of(host, port), secrets))
            first.finish()

        supervisor.when_started = announce
        for name, command in programs.items():
            supervisor.add(name, command, env=_environment(host, port), cwd=settings.BASE_DIR)
        return supervisor.run()

    def _prepare(self, first: FirstStart) -> Secrets | None:
        """Do what is missing and return the secrets of a first start."""
        if preparing.migrate():
            self.stdout.write("The database is up to date.")
        if preparing.collect_static():
            self.stdout.write("The static files are collected.")
        if not first.is_due():
            return None
        secrets = first.begin()
        self.stdout.write("The demo data is written.")
        return secrets


def _supervisor() -> Supervisor:
    try:
        from promptlab.management.supervisor import Supervisor
    except ImportError as error:
        what = "run `make install`, or: pip install -r requirements-local.txt"
        raise CannotStart(f"The Python package {error.name} is missing. To get it, {what}") from error
    return Supervisor()


def _valkey() -> dict[str, list[str]]:
    """Return the private server's command, by name; nothing when REDIS_URL names another one."""
    if not settings.REDIS_IS_PRIVATE:
        return {}
    server = LocalValkey(settings.VALKEY_SOCKET, settings.VAR_DIR / "valkey")
    if server.is_answering():
        raise CannotStart(
            f"A Valkey server already answers at {server.socket}. Another PromptLab may run from this folder: stop it, "
            "or name your own server in REDIS_URL."
        )
    try:
        return {"valkey": server.command()}
    except NoServerFound as error:
        raise CannotStart(str(error)) from error


def _programs(host: str, port: int) -> dict[str, list[str]]:
    web = f"uvicorn promptlab.asgi:application --host {host} --port {port}"
    web += " --no-access-log --log-level warning --timeout-graceful-shutdown 4"  # before the supervisor loses patience
    worker = "celery --quiet -A promptlab worker --without-mingle --without-gossip -B -P threads -c 4 -l WARNING"
    worker += " -Q ingest,default,llm"
    return {"web": [sys.executable, "-m", *web.split()], "worker": [sys.executable, "-m", *worker.split()]}


def _environment(host: str, port: int) -> dict[str, str]:
    here = welcome.address_of(host, port) if settings.SITE_URL_IS_LOCAL else settings.SITE_URL
    ours = {
        "SITE_URL": here,
        "DJANGO_SETTINGS_MODULE": "promptlab.settings",
        "PROMPTLAB_VAR": str(settings.VAR_DIR),
        "PYTHONUNBUFFERED": "1",
        # Root here is somebody in a container, and the other processes are root as well.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser",
    }
    return {**os.environ, **ours}
