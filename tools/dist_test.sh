#!/usr/bin/env bash
# Evaluate on several GPUs of one machine: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
usage='usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]'
config=${1:?$usage}
checkpoint=${2:?$usage}
gpus=${3:?$usage}
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}" \
    --nproc-per-node="$gpus" "$(dirname "$0")/test.py" "$config" "$checkpoint" \
    --launcher pytorch "${@:4}"
