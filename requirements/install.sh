#!/usr/bin/env bash
# Set up an environment with the packages of a lock file and this one; safe to repeat.
# [PYTHON=python3.11] install.sh [VENV] [LOCK]; by default .venv and requirements/lock.txt.
set -euo pipefail
trap 'exit 130' INT
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=$(realpath -m "${1:-.venv}") lock=${2:-requirements/lock.txt}
py=$venv/bin/python
mmcv=$(grep -E '^(onedl-)?mmcv==' "$lock")
pythons='3.10, 3.11 or 3.12' newest=13
if grep -q '^torch==2\.1\.' "$lock"; then pythons='3.10 or 3.11' newest=12; fi

say() { printf '[%3d s] %s\n' "$SECONDS" "$*"; }
die() { printf 'set-up: %s\n' "$*" >&2; exit 1; }
pip() { PYTHONWARNINGS=ignore "$py" -m pip "$1" -qq --no-deps --no-build-isolation "${@:2}"; }

# An installation that is killed midway leaves packages that look installed: where .unfinished is found, the environment
# is built anew.
install() {
    touch "$venv/.unfinished"
    "$@"
    rm "$venv/.unfinished"
}

# pip knows indexes that uv does not: those of pip.conf.
install_locked() {
    # A new environment has a setuptools of years ago, which cannot build those packages that come as source.
    # shellcheck disable=SC2046  # several words
    pip install $(grep -E '^(uv|packaging|setuptools|wheel)==' "$lock")
    "$py" -m uv pip install -q --no-deps --no-build-isolation --python "$py" -r <(echo "$packages") || {
        say "uv could not install them: pip tries, which takes longer"
        pip install -r <(echo "$packages")
    }
}

# pip's cache hands out an mmcv that was built for another torch, or without CUDA: only a look inside tells.
mmcv_works() {
    "$py" - "${mmcv#*==}" "$build" <<'PYTHON'
import sys, torch, mmcv._ext
from mmcv.ops import get_compiling_cuda_version
cuda_missing = sys.argv[2] == 'CUDA' and get_compiling_cuda_version() == 'not available'
sys.exit(mmcv.__version__ != sys.argv[1] or cuda_missing)
PYTHON
}

# mmcv's 78 files read torch's headers anew each, which is two thirds of the build: a precompiled header reads them once.
# It holds only where it is compiled with the flags of the build; another compiler than g++ builds without it.
precompile_torch_header() {
    local folder=$venv/header torch abi
    "${CXX:-c++}" --version 2>/dev/null | grep -q 'Free Software Foundation' || return 1
    read -r torch abi < <("$py" -c 'import torch; print(torch.__path__[0], int(torch.compiled_with_cxx11_abi()))')
    [ "$abi" = 1 ] && abi= || abi=-D_GLIBCXX_USE_CXX11_ABI=0
    mkdir -p "$folder" && echo '#include <torch/types.h>' > "$folder/types.h"
    # shellcheck disable=SC2086  # $abi is one flag or none
    "${CXX:-c++}" -O2 -g0 -fPIC "-I$torch/include" "-I$torch/include/torch/csrc/api/include" -std=c++17 $abi \
        -DTORCH_API_INCLUDE_EXTENSION_H -DTORCH_EXTENSION_NAME=_ext \
        -x c++-header "$folder/types.h" -o "$folder/types.h.gch" 2>/dev/null || return 1
    echo "-include $folder/types.h"
}

# In pip's build isolation it would not see torch and leave out mmcv._ext without an error.
# -g0 undoes the -g of Python's own flags, which takes as long again.
install_mmcv() {
    local begin=$SECONDS gpu=(FORCE_CUDA=1) header= name=${mmcv%%==*}
    [ "$build" = CUDA ] || gpu=(FORCE_CUDA=0 CUDA_VISIBLE_DEVICES=)
    if [ "$build" = CPU ] && { [ $# != 0 ] || ! "$py" -m pip cache list "${name//-/_}" 2>/dev/null | grep -q "${mmcv#*==}"; }; then
        header=$(precompile_torch_header) || say "no precompiled header of torch: the build takes up to three times as long"
    fi
    (export "${gpu[@]}" MMCV_WITH_OPS=1 CFLAGS="-O2 -g0 $header" CXXFLAGS='-O2 -g0' MAX_JOBS="${MAX_JOBS:-$(nproc)}"
        PATH=$venv/bin:$PATH pip wheel "$@" -w "$venv/wheels" "$mmcv") ||
        die "mmcv was not built: it takes a C++ compiler and Python's header files (on Debian: g++, python3-dev)."
    rm -rf "$venv/header"
    install pip install --force-reinstall "$venv"/wheels/*.whl
    rm -r "$venv/wheels"
    say "mmcv for $build installed, in $((SECONDS - begin)) s"
}

if [ -e "$venv/.unfinished" ] ||
    ! "$py" -c "import sys, pip; sys.exit(not (3, 10) <= sys.version_info < (3, $newest))" 2>/dev/null; then
    version=$("$python" -c 'import platform; print(platform.python_version())') || die "$python does not run."
    "$python" -c "import sys; sys.exit(not (3, 10) <= sys.version_info < (3, $newest))" ||
        die "$python is Python $version; $pythons is needed: choose one with 'make PYTHON=python3.11'."
    [ -f "$venv/pyvenv.cfg" ] || [ -z "$(ls -A "$venv" 2>/dev/null)" ] ||
        die "$venv is no virtual environment: remove it or choose another folder."
    say "new environment in $venv, Python $version"
    "$python" -m venv --clear "$venv"
fi

say "locked packages (5 GB in a new environment, most of it torch and its CUDA libraries)"
packages=$(grep -Ev '^(onedl-)?mmcv==' "$lock")
install install_locked

# CUDA takes a GPU and an nvcc of the major version of torch's own CUDA: torch refuses another one.
build=$("$py" - <<'EOF'
import subprocess, torch
nvcc = ''
if torch.cuda.is_available():
    from torch.utils.cpp_extension import CUDA_HOME
    nvcc = subprocess.getoutput(f"'{CUDA_HOME}/bin/nvcc' --version")
print('CUDA' if nvcc and f'release {torch.version.cuda.split(".")[0]}.' in nvcc else 'CPU')
EOF
)
if mmcv_works 2>/dev/null; then
    say "mmcv for $build is in place already"
else
    say "mmcv for $build: at once from pip's cache, else from source (2 to 13 minutes on 2 cores)"
    install_mmcv
    if ! mmcv_works 2>/dev/null; then
        say "pip's cached mmcv is of another torch or lacks CUDA: from source (2 to 13 minutes on 2 cores)"
        install_mmcv --no-cache-dir
        mmcv_works || die "mmcv was built but does not work for $build."
    fi
fi

say "this package, then a look at what imports"
install pip install -e .
"$py" -W ignore - <<'EOF'
import cv2, mmcv._ext, mmdet.apis, mmengine, mmpretrain.apis, mmseg.apis, torch, torchvision
modules = torch, torchvision, mmengine, mmcv, mmdet, mmseg, mmpretrain, cv2
print(*(f'{m.__name__} {m.__version__}' for m in modules))
EOF
say "done"
