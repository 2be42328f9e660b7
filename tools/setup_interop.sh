#!/usr/bin/env bash
# Makes .deps/interop: a Python environment with the tools that exports are tried in (tools/requirements-interop.lock), on
# top of the one that tools/setup.sh made; compiles llama.cpp, which takes minutes. And .deps/vllm, on top of both: vLLM's
# package with what its loader imports on a CPU (tools/requirements-vllm.lock). Needs the network when something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

installed() {  # by the lock $2, in the environment $1
  [ -f "$1/espalier-installed" ] && cmp -s "$1/espalier-installed" "$2"
}

purelib() {  # of the interpreter $1
  "$1" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'
}

install_environment() {  # $1 with the lock $2; the packages of the interpreters $3... are seen, not installed again
  local environment=$1 lock=$2 python=$1/bin/python below
  shift 2
  "$(cat .deps/python-interpreter)" -m venv "$environment"
  for below in "$@"; do realpath "$(purelib "$below")"; done > "$(purelib "$python")/below.pth"
  CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF" "$python" -m pip install -q --disable-pip-version-check --no-deps \
    --require-hashes -r "$lock"
  cp "$lock" "$environment/espalier-installed"
}

base=$(cat .deps/python-interpreter)
if ! installed .deps/interop tools/requirements-interop.lock; then
  echo "setup: installing the tools of make interop into .deps/interop (llama.cpp is compiled: minutes)"
  install_environment .deps/interop tools/requirements-interop.lock "$base"
fi
if ! installed .deps/vllm tools/requirements-vllm.lock; then
  echo "setup: installing vLLM's loader into .deps/vllm (0.8 GB)"
  install_environment .deps/vllm tools/requirements-vllm.lock .deps/interop/bin/python "$base"
fi
