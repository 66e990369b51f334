# Two images of one distribution: `--target api` is small and without torch, `--target worker` computes.
# pip's own settings pass through: a CPU build of torch takes
#   docker build --target worker --build-arg PIP_EXTRA_INDEX_URL=<index of CPU builds> .

FROM python:3.11-slim AS base
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 10001 app && install -d -o app -g app /home/app/.cache
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY transport transport
COPY client client
COPY worker worker
COPY api api
COPY cli cli

FROM base AS worker
RUN pip install -c constraints.txt ".[worker,otel]"
WORKDIR /home/app
USER app
# No probe of its own: a stuck or broken worker ends with exit code 1, and its restart policy brings it back.
# Where a `--metrics-port` is given, `/health/live` and `/health/ready` are there to be asked.
HEALTHCHECK NONE
ENTRYPOINT ["kafka-embeddings"]
CMD ["worker"]

FROM base AS api
RUN pip install -c constraints.txt ".[api,redis,otel]"
WORKDIR /home/app
USER app
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v1/health/ready', timeout=4)"]
ENTRYPOINT ["kafka-embeddings"]
CMD ["api"]
