#!/usr/bin/env bash
# Packs the programs of the build folder $1 with the Debian libraries that they need (not LibTorch, not the C library) into
# $1/espalier-bundle.tar.xz. The launchers in it find the machine's own torch 2.11 (ESPALIER_TORCH or python3).
set -euo pipefail
build=$1
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
bundle=$stage/espalier
mkdir -p "$bundle/bin" "$bundle/lib" "$bundle/programs"
torch=$(cat .deps/torch-folder)
cp tools/espalier_tokens.py "$bundle/programs/"  # beside the program, which starts it
for program in espalier espalier-coordinator espalier-worker espalier-bench; do
  [ -x "$build/bin/$program" ] || continue
  strip -o "$bundle/programs/$program" "$build/bin/$program"
  patchelf --remove-rpath "$bundle/programs/$program"
  ldd "$build/bin/$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | while read -r library; do
    case "$library" in
      "$torch"/* | */site-packages/*) ;;
      */libc.so.* | */libm.so.* | */libdl.so.* | */libpthread.so.* | */librt.so.* | */ld-linux* | */libresolv.so.* | */libgcc_s.so.* | */libstdc++.so.*) ;;
      *) cp -nL "$library" "$bundle/lib/" ;;
    esac
  done
  cat > "$bundle/bin/$program" <<'LAUNCHER'
#!/bin/sh
# Starts the program with the bundle's libraries and, where it needs one, the machine's own LibTorch.
here=$(cd "$(dirname "$0")/.." && pwd)
name=$(basename "$0")
case "$name" in
  espalier-worker | espalier-bench)
    if [ -z "$ESPALIER_TORCH" ]; then
      ESPALIER_TORCH=$("${ESPALIER_PYTHON:-python3}" -c 'import torch; print(torch.__path__[0])' 2> /dev/null)
    fi
    if [ ! -e "$ESPALIER_TORCH/lib/libtorch_cpu.so" ]; then
      echo "$name: no torch 2.11 found; set ESPALIER_TORCH to the folder that python3 -c 'import torch; print(torch.__path__[0])' prints" >&2
      exit 69
    fi
    LD_LIBRARY_PATH=$ESPALIER_TORCH/lib:$ESPALIER_TORCH/../nvidia/cu13/lib:$here/lib ;;
  *) LD_LIBRARY_PATH=$here/lib ;;
esac
export LD_LIBRARY_PATH ESPALIER_TORCH
ESPALIER_WORKER=${ESPALIER_WORKER:-$here/bin/espalier-worker}
ESPALIER_COORDINATOR_PROGRAM=${ESPALIER_COORDINATOR_PROGRAM:-$here/bin/espalier-coordinator}
export ESPALIER_WORKER ESPALIER_COORDINATOR_PROGRAM
exec "$here/programs/$name" "$@"
LAUNCHER
  chmod +x "$bundle/bin/$program"
done
tar -C "$stage" -cJf "$build/espalier-bundle.tar.xz" espalier
echo "$build/espalier-bundle.tar.xz: $(du -h "$build/espalier-bundle.tar.xz" | cut -f1)"
