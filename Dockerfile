# The server as an image, made by any builder, BuildKit or not:
#
#   docker build --tag mcp-docker .
#
# A release pins the base by digest: --build-arg BASE=docker.io/library/python:3.13-slim-bookworm@sha256:…
# Where no package index can be reached, pip takes what lies in requirements/wheels/ instead; the hashes hold there too.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements requirements
RUN if [ -d requirements/wheels ]; then \
      printf '[global]\nno-index = true\nfind-links = /build/requirements/wheels\n' > /etc/pip.conf; \
    fi \
 && python -m venv --without-pip /opt/mcp-docker \
 && python -m pip --python /opt/mcp-docker/bin/python install --quiet --only-binary=:all: --require-hashes \
      --requirement requirements/run.txt --requirement requirements/redis.txt \
 && python -m pip install --quiet --only-binary=:all: --require-hashes --requirement requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
# bytecode that is never looked at again: nobody could write it anew on a read-only root
RUN python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/mcp-docker/bin/python install --quiet --no-deps --no-index dist/*.whl \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/mcp-docker/lib
COPY deploy/healthy.py /opt/mcp-docker/healthy.py

FROM ${BASE}
COPY --from=build /opt/mcp-docker /opt/mcp-docker
ENV PATH=/opt/mcp-docker/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SECURITY_AUDIT_LOG_FILE=/state/audit.jsonl \
    XDG_STATE_HOME=/state
# the standard library of Python's own images comes without bytecode: importing once writes what the server needs of it
RUN echo 'mcp-docker:x:10001:10001::/state:/sbin/nologin' >> /etc/passwd \
 && echo 'mcp-docker:x:10001:' >> /etc/group \
 && mkdir /state && chown 10001:10001 /state && chmod 700 /state \
 && python -c 'import mcp_docker.cli, mcp_docker.http.serve, mcp_docker.doctor' \
 && mcp-docker --version
USER 10001:10001
VOLUME /state
# not /state: the working directory is where images may be built from, unless a setting says otherwise
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "/opt/mcp-docker/healthy.py"]
# on this address it asks for OAuth, and for TLS or a trusted proxy, before it starts
ENTRYPOINT ["mcp-docker"]
CMD ["--transport", "http", "--host", "0.0.0.0"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mcp-docker" \
      org.opencontainers.image.description="MCP server that lets AI assistants work a Docker Engine, with three tiers of safety" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
