#!/usr/bin/env bash
# Trains in several processes, one for each GPU (or on CPUs, where there is none), on one machine or more.
# tools/dist_train.sh CONFIG NUM_PROCESSES [arguments of tools/train.py]
# NUM_PROCESSES are those of this machine. From the environment: NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1),
# MASTER_PORT (one that is free; 29500 on several machines), PYTHON (python).
set -euo pipefail

if [[ $# -lt 2 || ! $2 =~ ^[1-9][0-9]*$ ]]; then
    echo "error: expected $0 CONFIG NUM_PROCESSES [arguments of tools/train.py], with a whole number from 1; got: $*" >&2
    exit 2
fi
tools=$(dirname "$0")
exec "$tools/torchrun.sh" "$2" "$tools/train.py" "$1" "${@:3}" --launcher pytorch
