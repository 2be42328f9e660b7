#!/usr/bin/env bash
# Installs what the build and the tests need and is not there yet: Debian packages (tools/packages.txt) and a Python
# environment in .deps/python with LibTorch (tools/requirements.lock, made of requirements.in by `uv pip compile
# --generate-hashes --no-header --python-version 3.11`). Needs the network only when
# something is missing. --full: also what only `make test-full` needs (tools/packages-full.txt, requirements.txt of
# tests/deploy, tests/contract and tests/e2e).
# ESPALIER_PYTHON=/path/to/python3 uses that interpreter's torch 2.11 instead of installing one.
set -euo pipefail
cd "$(dirname "$0")/.."
package_lists=(tools/packages.txt)
[ "${1:-}" != --full ] || package_lists+=(tools/packages-full.txt)

missing_packages() {
  local package
  while read -r package; do
    [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || echo "$package"
  done < <(cat "${package_lists[@]}")
}

install_packages() {
  local missing as_root=()
  missing=$(missing_packages | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo > /dev/null; then
      as_root=(sudo)
    else
      echo "setup: these packages are missing and this user cannot install them (no root, no sudo): $missing" >&2
      echo "setup: ask an administrator for: apt-get install --no-install-recommends $missing" >&2
      exit 1
    fi
  fi
  echo "setup: installing packages: $missing"
  # The tests start PostgreSQL servers of their own; the package must not make and start one beside them.
  case " $missing" in *" postgresql-15 "*)
    printf 'create_main_cluster = false\n' | "${as_root[@]}" sh -c \
      'mkdir -p /etc/postgresql-common && cd /etc/postgresql-common && { [ -e createcluster.conf ] || cat > createcluster.conf; }' ;;
  esac
  "${as_root[@]}" apt-get update -qq
  # shellcheck disable=SC2086
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing > /dev/null
}

find_torch() {  # of the interpreter $1; prints the package's folder
  "$1" - <<'PY'
import sys
try:
    import torch
except ImportError:
    sys.exit("setup: %s has no torch" % sys.executable)
if not torch.__version__.startswith("2.11."):
    sys.exit("setup: %s has torch %s; 2.11 is needed" % (sys.executable, torch.__version__))
print(torch.__path__[0])
PY
}

# uv where it can be had (another architecture, a mirror without it: no), else pip; hashes are checked by either.
install_locked() {
  local pip=(.deps/python/bin/pip install -q --disable-pip-version-check --no-cache-dir --require-hashes)
  if "${pip[@]}" -r tools/uv-requirements.lock 2> /dev/null &&
      .deps/python/bin/uv pip install -q --python .deps/python/bin/python --no-cache --require-hashes -r tools/requirements.lock; then
    return 0
  fi
  echo "setup: uv could not install it; pip does, which takes longer"
  "${pip[@]}" -r tools/requirements.lock
}

install_python() {
  mkdir -p .deps
  if [ -n "${ESPALIER_PYTHON:-}" ]; then
    find_torch "$ESPALIER_PYTHON" > .deps/torch-folder
    echo "$ESPALIER_PYTHON" > .deps/python-interpreter
    return 0
  fi
  local wanted
  wanted=$(sha256sum tools/requirements.lock | cut -d' ' -f1)
  if [ "$(cat .deps/python/installed 2> /dev/null)" != "$wanted" ]; then
    echo "setup: installing LibTorch and the Python tools into .deps/python (about 5 GB, a few minutes)"
    local python=/usr/bin/python3
    [ -x "$python" ] || python=python3
    [ -x .deps/python/bin/pip ] || "$python" -m venv .deps/python
    install_locked
    echo "$wanted" > .deps/python/installed
  fi
  local interpreter  # where .deps really lies: it may be shared with other checkouts by a link
  interpreter="$(cd .deps && pwd -P)/python/bin/python"
  if [ ! -s .deps/torch-folder ] || [ "$(cat .deps/python-interpreter)" != "$interpreter" ]; then
    find_torch "$interpreter" > .deps/torch-folder
    echo "$interpreter" > .deps/python-interpreter
  fi
}

install_packages
install_python
if [ "${1:-}" = --full ]; then
  for pair in deploy:tests/deploy s3:tests/contract grpc:tests/e2e; do
    environment=.deps/${pair%%:*} wanted=${pair#*:}/requirements.txt
    if cmp -s "$environment/installed" "$wanted"; then continue; fi
    echo "setup: installing $wanted into $environment"
    [ -x "$environment/bin/pip" ] || /usr/bin/python3 -m venv "$environment"
    "$environment/bin/pip" install -q --disable-pip-version-check --no-cache-dir --require-hashes -r "$wanted"
    cp "$wanted" "$environment/installed"
  done
fi
