# syntax=docker/dockerfile:1
# The bridge as an image: `docker build --tag letta-otel-bridge .`; docs/deploy.md says how to run it.
# BASE is the index of all platforms that the tag named in October 2026; name another of the same Python for a mirror.
ARG BASE=docker.io/library/python:3.13.16-slim-trixie@sha256:bf44cdfcb76cd3b41e879bc058fc37ec5872002ccfde7fcb765e218cde0cd79c

FROM ${BASE} AS build
WORKDIR /src
# uv installs the rest, and is itself one of the lines of the lock: nothing comes in without its hash.
COPY requirements.lock ./
RUN awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements.lock >uv.lock \
  && python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    --require-hashes --requirement uv.lock
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
RUN uv venv --python "$(command -v python)" /opt/bridge \
  && uv pip install --python /opt/bridge/bin/python --no-cache --link-mode copy --compile-bytecode \
    --constraint requirements.lock --build-constraint requirements.lock --require-build-hashes .

FROM ${BASE}
COPY --from=build /opt/bridge /opt/bridge
# The base has its standard library without bytecode, and the bridge's user cannot write any: what is imported here is
# not compiled anew at each start and each health check.
RUN python -c 'import http.client, json, sqlite3, ssl' \
  && /opt/bridge/bin/python -c 'import bridge.app, bridge.cli, bridge.doctor, bridge.serve, bridge.exposition, bridge.export.grpc, bridge.export.http, bridge.status.render' \
  && install --directory --owner=65532 --group=65532 --mode=0700 /var/lib/bridge
ENV PATH=/opt/bridge/bin:$PATH \
  PYTHONUNBUFFERED=1 \
  PYTHONDONTWRITEBYTECODE=1 \
  BRIDGE_LEDGER=/var/lib/bridge/bridge.ledger \
  BRIDGE_LISTEN=127.0.0.1:9464
WORKDIR /var/lib/bridge
VOLUME /var/lib/bridge
USER 65532:65532
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["bridge", "healthcheck"]
ENTRYPOINT ["bridge"]
CMD ["run"]
# Last, for they change with each build.
ARG VERSION=0.0.0+unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="letta-otel-bridge" \
  org.opencontainers.image.description="OpenTelemetry export bridge for Letta" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
