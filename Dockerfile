FROM python:3.13.16-slim-bookworm@sha256:a1165e272e578941b84abc79e4ab38a0305cd12803a5c4247979ac7655f4d641 AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /build
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN pip install --require-hashes -r requirements/runtime.txt
COPY . .
# What builds the package is locked too, and does not stay.
RUN pip install --require-hashes -r requirements/build.txt \
    && pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes -r requirements/build.txt

FROM python:3.13.16-slim-bookworm@sha256:a1165e272e578941b84abc79e4ab38a0305cd12803a5c4247979ac7655f4d641 AS gateway
# Owned before VOLUME: a new volume takes its owner over from here.
RUN groupadd --gid 10001 gateway \
    && useradd --uid 10001 --gid gateway --no-create-home --home-dir /data --shell /usr/sbin/nologin gateway \
    && install --directory --owner=gateway --group=gateway /data
COPY --from=builder /opt/venv /opt/venv
COPY deploy/entrypoint.sh /opt/
ENV PATH=/opt/venv/bin:$PATH \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATABASE_URL=sqlite:////data/catalog.db
USER 10001:10001
WORKDIR /data
VOLUME /data
# METRICS_PORT listens on the container's own loopback unless METRICS_HOST=0.0.0.0.
EXPOSE 3000
# Without the proxies of the environment, which would be asked for 127.0.0.1 too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os; from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open(f\"http://127.0.0.1:{os.environ.get('PORT') or 3000}/healthz\", timeout=4)"]
ENTRYPOINT ["sh", "/opt/entrypoint.sh"]
CMD ["serve"]

# docker build --target worker: what also reads the formats of QEMU.
FROM gateway AS worker
USER 0:0
# Debian's point releases replace versions, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends qemu-utils qemu-block-extra \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001
# It answers no requests.
HEALTHCHECK NONE
CMD ["worker"]

# The default.
FROM gateway
