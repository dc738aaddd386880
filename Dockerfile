# Cliffwatch's daemon, with the lab that the compose file watches. About 1.5 GB, most of it CPU torch.
#   docker build -t cliffwatch .
# Behind a mirror: --build-arg PIP_INDEX_URL=... --build-arg TORCH_INDEX_URL=...
FROM python:3.11-slim-bookworm AS build

ARG PIP_INDEX_URL=https://pypi.org/simple
# PyTorch's own index has the wheels without CUDA; the version is the one that constraints.txt pins.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

RUN python -m venv /opt/cliffwatch
ENV PATH=/opt/cliffwatch/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
# First and alone: the layer that changes least and weighs most.
RUN pip install --index-url "$TORCH_INDEX_URL" --extra-index-url "$PIP_INDEX_URL" \
    "torch==$(sed -n 's/^torch==//p' constraints.txt)"
COPY . .
RUN pip install --index-url "$PIP_INDEX_URL" -c constraints.txt ".[local,lab,otlp,postgres,files]"

FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/cliffwatch cliffwatch \
    && install -d -o cliffwatch -g cliffwatch -m 0750 /var/lib/cliffwatch
COPY --from=build /opt/cliffwatch /opt/cliffwatch

ENV PATH=/opt/cliffwatch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/var/lib/cliffwatch/huggingface \
    CLIFFWATCH_CONFIG=/etc/cliffwatch/cliffwatch.yaml
USER 10001:10001
WORKDIR /var/lib/cliffwatch
VOLUME /var/lib/cliffwatch
EXPOSE 9464
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
ENTRYPOINT ["cliffwatch"]
CMD ["run"]
