from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ExperimentsConfig(AppConfig):
    name = "experiments"
    verbose_name = _("Experiments")

    def ready(self) -> None:
        """Say what experiments have against archiving prompts."""
        from experiments.services.lifecycle import refuse_running
        from prompts.services.policies import archive_checks

        archive_checks.append(refuse_running)
