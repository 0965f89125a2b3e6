# The server. `docker build --target postgres` makes a Postgres with wal2json instead.
FROM postgres:16-bookworm AS postgres
# The base image has the PGDG repository configured already. Minor releases since 2026 load only listed output plugins, older
# ones do not know that setting.
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-16-wal2json \
 && rm -rf /var/lib/apt/lists/* \
 && { echo "wal_level = logical"; echo "max_slot_wal_keep_size = 4GB"; \
      if postgres --describe-config | grep -q output_plugin_libraries; then \
        echo "output_plugin_libraries = 'pgoutput, test_decoding, wal2json'"; fi; \
    } >> /usr/share/postgresql/postgresql.conf.sample

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/realtime
COPY requirements.lock .
RUN /opt/realtime/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY server server
COPY sql sql
COPY migrations migrations
COPY docs docs
COPY sdk/js/src sdk/js/src
RUN /opt/realtime/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm AS server
RUN useradd --system --no-create-home realtime
COPY --from=build /opt/realtime /opt/realtime
ENV PATH=/opt/realtime/bin:$PATH REALTIME_HOST=0.0.0.0 REALTIME_LOG_FORMAT=json PYTHONUNBUFFERED=1
USER realtime
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
ENTRYPOINT ["realtime"]
CMD ["serve", "--migrate"]
