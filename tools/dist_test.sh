#!/usr/bin/env bash
# Tests a checkpoint in several processes, one for each GPU (or on CPUs, where there is none).
# tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [arguments of tools/test.py]
# The environment is that of dist_train.sh.
set -euo pipefail

if [[ $# -lt 3 || ! $3 =~ ^[1-9][0-9]*$ ]]; then
    echo "error: expected $0 CONFIG CHECKPOINT NUM_PROCESSES [arguments of tools/test.py]," \
        "with a whole number from 1; got: $*" >&2
    exit 2
fi
tools=$(dirname "$0")
exec "$tools/torchrun.sh" "$3" "$tools/test.py" "$1" "$2" "${@:4}" --launcher pytorch
