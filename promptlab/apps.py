"""The project as an application: our admin site, and every task known by name from the start."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PromptLabConfig(AppConfig):
    name = "promptlab"
    verbose_name = "PromptLab"

    def ready(self) -> None:
        """Register checks, and import every app's tasks, so that a mistyped task name fails at start."""
        import promptlab.checks  # noqa: F401
        from promptlab.celery import app

        apps = ["prompts", "experiments", "promptlab.accounts", "promptlab.chat", "promptlab.hooks", "feedback"]
        app.autodiscover_tasks(apps, force=True)


class PromptLabAdminConfig(AdminConfig):
    default_site = "promptlab.site.PromptLabSite"
