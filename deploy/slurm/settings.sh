# shellcheck shell=bash disable=SC2034
# An example of FLEET/settings.sh, read by workers.sbatch and coordinator.sbatch. Every line may be left out.
programs=/opt/espalier/bin                # folder of the programs; empty: along PATH
artifacts=/shared/espalier/artifacts      # seen by all nodes; default FLEET/artifacts
token_file=/shared/espalier/work.token    # mode 0600, the token of a worker
drain_seconds=30                          # below the 60 s that --signal gives, and Slurm's KillWait for preemption
worker_flags=(--device cuda --tls-ca /etc/espalier/ca.crt)

coordinator=                              # HOST:PORT[,HOST:PORT]; empty: whatever FLEET/address says
listen=                                   # only for coordinator.sbatch: HOST:PORT; empty: any free port of this node
lease_seconds=60
coordinator_flags=(--tls-cert /etc/espalier/tls.crt --tls-key /etc/espalier/tls.key --tokens /etc/espalier/tokens
  --allow-root /shared/models)
