# One image for gateway, web, worker, beat and migrate. compose.yaml and deploy/k8s say which command each of them runs.
FROM python:3.13-slim AS packages
COPY requirements.txt .
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app:/app/sdk PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=promptlab.settings PROMPTLAB_VAR=/app/var
RUN useradd --system --uid 10001 --home-dir /app promptlab
WORKDIR /app
COPY --from=packages /venv /venv
COPY . .
# The key is for this step alone: without one, a secret would be made here and every copy of the image would share it.
RUN SECRET_KEY=not-used-after-this-step python manage.py collectstatic --noinput --verbosity 0 \
    && chown -R promptlab var
USER 10001
EXPOSE 8001
CMD ["uvicorn", "promptlab.asgi:application", "--host", "0.0.0.0", "--port", "8001", "--no-access-log", "--log-level", "warning"]
