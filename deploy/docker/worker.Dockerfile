# The worker, with LibTorch from the pinned wheels (it brings CUDA's run-time libraries; the driver comes from the node):
#   make bundle && cp tools/requirements.lock build/ && docker build -f deploy/docker/worker.Dockerfile -t espalier-worker:0.1.0 build
#   docker run --gpus device=0 --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp -v artifacts:/artifacts \
#     espalier-worker:0.1.0 --coordinator HOST:7443 --artifacts /artifacts --device cuda --token-file ... --tls-ca ...
FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libstdc++6 libgomp1 python3-minimal python3-venv xz-utils && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 espalier && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin espalier
COPY requirements.lock /tmp/requirements.lock
RUN python3 -m venv /opt/torch && /opt/torch/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock && rm /tmp/requirements.lock
COPY espalier-bundle.tar.xz /tmp/espalier-bundle.tar.xz
RUN mkdir -p /opt && tar -C /opt -xJf /tmp/espalier-bundle.tar.xz && rm /tmp/espalier-bundle.tar.xz
RUN rm -f /opt/espalier/bin/espalier-coordinator /opt/espalier/programs/espalier-coordinator
ENV ESPALIER_PYTHON=/opt/torch/bin/python
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/espalier/bin/espalier-worker"]
CMD ["--help"]
