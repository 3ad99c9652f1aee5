# One image for both roles. BASE_IMAGE: any Debian with python3 (3.11 or later), its venv module and ca-certificates.
ARG BASE_IMAGE=python:3.13-slim-bookworm

# ---- deps: the locked dependencies ---------------------------------------------------------------------------------
FROM ${BASE_IMAGE} AS deps
# An index other than PyPI, where there is one: an argument of this stage, so in no layer that ships.
ARG PIP_INDEX_URL
RUN python3 -m venv /opt/venv
COPY requirements.txt /build/
# Secret "ca" (optional): the build machine's CA bundle, where a proxy signs for the index. It stays at its default
# path: mounted over an existing file, buildah 1.28 would delete that file from the image.
# --no-deps: the file is the whole closure. What is taken out again is kubernetes' asyncio client (41 MB) with its
# HTTP stack, and what only installs packages.
# Bytecode is checked by nothing (unchecked-hash): a build that sets every file's time would make it look stale, and
# each start of a container would compile again.
RUN --mount=type=secret,id=ca --mount=type=cache,target=/var/cache/pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    PIP_CACHE_DIR=/var/cache/pip /opt/venv/bin/pip install --disable-pip-version-check --no-compile --no-deps --require-hashes \
      -r /build/requirements.txt \
 && /opt/venv/bin/pip uninstall --disable-pip-version-check -qy aiohttp aiohttp-retry aiosignal aiohappyeyeballs \
      frozenlist multidict propcache yarl \
 && /opt/venv/bin/pip uninstall --disable-pip-version-check -qy setuptools pip \
 && site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && rm -rf "$site/kubernetes/aio" \
 && find "$site" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
 && /opt/venv/bin/python -m compileall -q -j 2 --invalidation-mode unchecked-hash "$site" \
 && /opt/venv/bin/python -c 'import grpc, google.protobuf, openstack, keystoneauth1, kubernetes, prometheus_client, yaml'

# ---- app: the project beside them ----------------------------------------------------------------------------------
FROM deps AS app
COPY openstack_csi /opt/app/openstack_csi
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/app \
 && mkdir /opt/app/bin \
 && printf '#!/opt/venv/bin/python\nfrom openstack_csi.cli import main\n\nraise SystemExit(main())\n' \
      > /opt/app/bin/openstack-csi \
 && chmod 755 /opt/app/bin/openstack-csi \
 && PYTHONPATH=/opt/app /opt/app/bin/openstack-csi version

# ---- the image -----------------------------------------------------------------------------------------------------
FROM ${BASE_IMAGE} AS final
# What a node mounts, formats and looks at devices with; versions are those of the base's distribution.
# hadolint ignore=DL3008
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      e2fsprogs mount udev util-linux xfsprogs \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/*.log
COPY --from=deps /opt/venv /opt/venv
# Two arenas: with one per thread, 64 gRPC workers would keep memory that nobody uses.
ENV PATH=/opt/app/bin:/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/opt/app \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2
# Last, so that a change of the source makes one small layer. COPY --from, not a bind mount from the stage: buildah 1.28
# leaves a mount's content out of the layer's cache key, and would keep the old program.
COPY --from=app /opt/app /opt/app
# The controller's user; the node DaemonSet asks for root, without which nothing can be mounted.
USER 65532:65532
ENTRYPOINT ["openstack-csi"]
