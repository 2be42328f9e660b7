# The coordinator (and the client). Made from the bundle, so nothing is compiled here:
#   make bundle && docker build -f deploy/docker/coordinator.Dockerfile -t espalier-coordinator:0.1.0 build
# Runs with a read-only root, as user 10001, without capabilities:
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp -v state:/var/lib/espalier \
#     espalier-coordinator:0.1.0 --state /var/lib/espalier --listen 0.0.0.0:7443 --tls-cert ... --tokens ... --allow-root /models
FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libstdc++6 xz-utils && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 espalier && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin espalier
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/espalier
COPY espalier-bundle.tar.xz /tmp/espalier-bundle.tar.xz
RUN mkdir -p /opt && tar -C /opt -xJf /tmp/espalier-bundle.tar.xz && rm /tmp/espalier-bundle.tar.xz
RUN rm -f /opt/espalier/bin/espalier-worker /opt/espalier/bin/espalier-bench /opt/espalier/programs/espalier-worker /opt/espalier/programs/espalier-bench
USER 10001:10001
VOLUME /var/lib/espalier
EXPOSE 7443 8443
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/espalier/bin/espalier-coordinator"]
CMD ["--help"]
