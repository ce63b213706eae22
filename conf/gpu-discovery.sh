#!/bin/sh
# Tells Spark which GPUs this machine (or container) has, as one line of JSON. Made executable and named in
# spark.worker.resource.gpu.discoveryScript (standalone) or spark.executor.resource.gpu.discoveryScript (YARN,
# Kubernetes). Addresses are indexes: what CUDA_VISIBLE_DEVICES takes.
set -eu

indexes=$(nvidia-smi --query-gpu=index --format=csv,noheader)
addresses=$(printf '%s\n' "$indexes" | awk 'NF { printf "%s\"%s\"", (n++ ? "," : ""), $1 }')
printf '{"name":"gpu","addresses":[%s]}\n' "$addresses"
