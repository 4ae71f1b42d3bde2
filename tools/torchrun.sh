#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: tools/torchrun.sh NUM_PROCESSES SCRIPT [arguments]
set -euo pipefail

processes=$1
shift
# Several machines have to agree on a port; one takes any that is free.
if [[ ${NNODES:-1} == 1 && -z ${MASTER_PORT:-} ]]; then
    meet=(--standalone)
else
    meet=(
        --nnodes "${NNODES:-1}"
        --node-rank "${NODE_RANK:-0}"
        --master-addr "${MASTER_ADDR:-127.0.0.1}"
        --master-port "${MASTER_PORT:-29500}"
    )
fi
# exec: signals to this process then reach torchrun, which hands them on.
exec "${PYTHON:-python}" -m torch.distributed.run "${meet[@]}" --nproc-per-node "$processes" "$@"
