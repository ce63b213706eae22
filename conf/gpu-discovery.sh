#!/bin/sh
# Prints the GPUs of this machine (or container) for Spark, as one line of JSON. Make it executable and set it as
# spark.worker.resource.gpu.discoveryScript (standalone) or spark.executor.resource.gpu.discoveryScript (YARN,
# Kubernetes). The addresses are indexes, as in CUDA_VISIBLE_DEVICES.
set -eu

indexes=$(nvidia-smi --query-gpu=index --format=csv,noheader)
addresses=$(printf '%s\n' "$indexes" | awk 'NF { printf "%s\"%s\"", (n++ ? "," : ""), $1 }')
printf '{"name":"gpu","addresses":[%s]}\n' "$addresses"
