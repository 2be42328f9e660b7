#!/usr/bin/env bash
# Makes .deps/interop: a Python environment with the tools that exports are tried in (tools/requirements-interop.lock), on
# top of the one that tools/setup.sh made. Compiles llama.cpp, which takes minutes. Needs the network when something is
# missing.
set -euo pipefail
cd "$(dirname "$0")/.."
below=$(cat .deps/python-interpreter)
stamp=.deps/interop/espalier-installed
if [ -f "$stamp" ] && cmp -s "$stamp" tools/requirements-interop.lock; then exit 0; fi
echo "setup: installing the tools of make interop into .deps/interop (llama.cpp is compiled: minutes)"
"$below" -m venv .deps/interop
python=.deps/interop/bin/python
# What lies below is seen, not installed again.
"$below" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' > \
  "$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/below.pth"
CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF" "$python" -m pip install -q --disable-pip-version-check --no-deps \
  --require-hashes -r tools/requirements-interop.lock
cp tools/requirements-interop.lock "$stamp"
