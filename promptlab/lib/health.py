"""Is this process alive, can it work, and what does it miss. No key needed, nothing secret told."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

from promptlab.lib import metrics, problem, redis
from promptlab.lib.errors import DomainError, NotFound, Unauthenticated
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
_migrated = False


def _database() -> dict[str, Any]:
    global _migrated
    started = time.perf_counter()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not _migrated:
            executor = MigrationExecutor(connection)
            _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        log.warning("database_away", error=type(error).__name__)
        return {"status": "down", "vendor": connection.vendor}
    ms = round((time.perf_counter() - started) * 1000, 1)
    status = "up" if _migrated else "migrations missing"
    return {"status": status, "vendor": connection.vendor, "ms": ms}


def _redis() -> dict[str, Any]:
    started = time.perf_counter()
    if not redis.ping():
        return {"status": "down", "effect": "rate limits count per process; background work waits"}
    return {"status": "up", "ms": round((time.perf_counter() - started) * 1000, 1)}


def report() -> tuple[dict[str, Any], bool]:
    """Return the state of everything we depend on, and whether requests can be served."""
    database, cache = _database(), _redis()
    is_ready = database["status"] == "up"
    healthy = is_ready and cache["status"] == "up"
    status = "healthy" if healthy else "degraded" if is_ready else "unhealthy"
    dependencies = {"database": database, "redis": cache}
    return {"status": status, "version": settings.VERSION, "dependencies": dependencies}, is_ready


def health(request: HttpRequest) -> HttpResponse:
    """`/health`: the state with its dependencies; 503 only when requests cannot be served."""
    state, is_ready = report()
    return _never_cached(JsonResponse(state, status=200 if is_ready else 503))


def livez(request: HttpRequest) -> HttpResponse:
    """`/livez`: this process answers. Asks nobody else."""
    return _never_cached(JsonResponse({"status": "alive"}))


def readyz(request: HttpRequest) -> HttpResponse:
    """`/readyz`: send traffic here or not. A missing Redis is degraded, not unready."""
    state, is_ready = report()
    failed = [name for name, found in state["dependencies"].items() if found["status"] != "up"]
    body = {"status": "ready" if is_ready else "not ready", "degraded_by" if is_ready else "failed": failed}
    return _never_cached(JsonResponse(body, status=200 if is_ready else 503))


def counted(request: HttpRequest) -> HttpResponse:
    """`/metrics`: what this process counted, for who has the token of the setting; without one there is no such page."""
    if not settings.METRICS_TOKEN:
        return _refused(NotFound())
    if not metrics.may_read(request.headers.get("Authorization", "")):
        return _refused(Unauthenticated("Send the token of METRICS_TOKEN as Authorization: Bearer."))
    return _never_cached(HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE))


def _refused(error: DomainError) -> HttpResponse:
    return HttpResponse(problem.encode(error), status=error.status, headers=problem.headers(error))


def _never_cached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response
