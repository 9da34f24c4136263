"""The project package: foundations (lib, audit, accounts, llm), the chat gateway, and the front doors."""

from promptlab.celery import app as celery_app

__all__ = ["celery_app"]
__version__ = "0.1.0"
