#!/usr/bin/env bash
# Trains under slurm, one task for each GPU.
# tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]
# From the environment: GPUS (8), GPUS_PER_NODE (8, or GPUS if fewer), CPUS_PER_TASK (5), SRUN_ARGS (none; more
# arguments of srun, split at blanks), MASTER_PORT (29500; jobs that share a machine need different ones), PYTHON (python).
set -euo pipefail

GPUS=${GPUS:-8}
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
numbers="$GPUS ${GPUS_PER_NODE:-8} $CPUS_PER_TASK"
if [[ $# -lt 3 || ! $numbers =~ ^[1-9][0-9]*\ [1-9][0-9]*\ [1-9][0-9]*$ ]]; then
    echo "error: expected $0 PARTITION JOB_NAME CONFIG [arguments of tools/train.py], and whole numbers from 1 in GPUS," \
        "GPUS_PER_NODE and CPUS_PER_TASK; got: $*, and $numbers" >&2
    exit 2
fi
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
read -ra more <<<"${SRUN_ARGS:-}"
# Without --kill-on-bad-exit the other tasks of a dead one would wait for it.
exec srun \
    --partition "$1" \
    --job-name "$2" \
    --gres "gpu:$GPUS_PER_NODE" \
    --ntasks "$GPUS" \
    --ntasks-per-node "$GPUS_PER_NODE" \
    --cpus-per-task "$CPUS_PER_TASK" \
    --kill-on-bad-exit=1 \
    "${more[@]}" \
    "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$3" "${@:4}" --launcher slurm
