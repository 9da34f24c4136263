"""For a WSGI server: admin, dashboards and REST. The hot routes need `promptlab.asgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptlab.settings")
application = get_wsgi_application()

from promptlab.checks import stop_if_unreadable  # noqa: E402  (Django must be set up first)

stop_if_unreadable()
