"""What the clock asks workers for, and how often: a lost wake-up only delays, because the next turn finds the work."""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab

CLOCK: dict[str, dict[str, Any]] = {
    "roll-up-messages": {"task": "chat.roll_up_messages", "schedule": 1.0, "options": {"expires": 10}},
    "roll-up-feedback": {"task": "feedback.roll_up_feedback", "schedule": 1.0, "options": {"expires": 10}},
    "close-abandoned-messages": {"task": "chat.close_abandoned", "schedule": 5.0, "options": {"expires": 10}},
    "judge-answers": {"task": "feedback.judge_answers", "schedule": 30.0, "options": {"expires": 30}},
    "tidy-texts": {"task": "feedback.tidy_texts", "schedule": 60.0, "options": {"expires": 60}},
    "keep-months": {"task": "feedback.keep_months", "schedule": 600.0, "options": {"expires": 60}},
    "purge-old-messages": {"task": "chat.purge_old_messages", "schedule": 600.0, "options": {"expires": 60}},
    "run-repricings": {"task": "chat.run_repricings", "schedule": 60.0, "options": {"expires": 60}},
    "run-due-deployments": {"task": "prompts.run_due_deployments", "schedule": 5.0, "options": {"expires": 10}},
    "sweep-suite-runs": {"task": "prompts.sweep_suite_runs", "schedule": 5.0, "options": {"expires": 10}},
    "sweep-optimiser-runs": {"task": "prompts.sweep_optimiser_runs", "schedule": 5.0, "options": {"expires": 10}},
    "watch-drift": {"task": "prompts.watch_drift", "schedule": 300.0, "options": {"expires": 240}},
    "analyse-experiments": {"task": "experiments.analyse", "schedule": 900.0, "options": {"expires": 600}},
    "reconcile-rollups": {
        "task": "experiments.reconcile",
        "schedule": crontab(hour="2", minute="41"),
        "options": {"expires": 3600},
    },
    "fill-days": {"task": "feedback.fill_days", "schedule": 60.0, "options": {"expires": 60}},
    "reconcile-days": {
        "task": "feedback.reconcile_days",
        "schedule": crontab(hour="2", minute="51"),
        "options": {"expires": 3600},
    },
    "tick-ramps": {"task": "experiments.tick_ramps", "schedule": 30.0, "options": {"expires": 30}},
    "recount-uses": {"task": "prompts.recount_uses", "schedule": 900.0, "options": {"expires": 600}},
    "forget-processes": {"task": "prompts.forget_processes", "schedule": 60.0, "options": {"expires": 60}},
    "forget-callers": {"task": "prompts.forget_callers", "schedule": 3600.0, "options": {"expires": 600}},
    "send-webhooks": {"task": "hooks.fan_out_and_send", "schedule": 5.0, "options": {"expires": 10}},
    "send-mails": {"task": "hooks.send_mails", "schedule": 5.0, "options": {"expires": 10}},
    "sweep-idempotent-calls": {
        "task": "accounts.sweep_idempotent_calls",
        "schedule": 600.0,
        "options": {"expires": 60},
    },
    "prune-outbox": {"task": "hooks.prune", "schedule": 600.0, "options": {"expires": 60}},
}
"""By the name of the entry: the task, seconds between two turns or an hour of the day, and when an unread one is stale."""
