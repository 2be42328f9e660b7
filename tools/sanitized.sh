#!/usr/bin/env bash
# sanitized.sh FOLDER SANITIZERS JOBS: builds everything without LibTorch in FOLDER under these sanitizers and runs the
# tests that have threads, memory and bytes of their own (not those in Python: they would drive the programs of another
# build). Clang where it is there, else the default compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 sanitizers=$2 jobs=$3
compiler=()
if [ ! -e "$folder/CMakeCache.txt" ] && command -v clang++ > /dev/null; then compiler=(-DCMAKE_CXX_COMPILER=clang++); fi
cmake -S . -B "$folder" -G Ninja "${compiler[@]}" -DESPALIER_SANITIZE="$sanitizers" -DESPALIER_BUILD_WORKER=OFF > "$folder.log" 2>&1 ||
  { cat "$folder.log"; exit 1; }
mv "$folder.log" "$folder/configure.log"
# One thread and no memory of its own: under ThreadSanitizer the simulation and the pure parts have nothing to find.
suites=(artifacts client contract core http integration lead pages security session)
[ "$sanitizers" = thread ] || suites+=(base checkpoint domain fuzz picture schedule search simulation wire)
targets=()
for suite in "${suites[@]}"; do targets+=("${suite}_test"); done
ninja -C "$folder" -j "$jobs" --quiet "${targets[@]}" espalier-coordinator
# The suites of other folders are registered as not built.
excluded='^(interop|layering|deploy|e2e|slurm|contract: artifacts)|_NOT_BUILT'
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS="suppressions=$PWD/tests/support/tsan_suppressions.txt:second_deadlock_stack=1"
export LSAN_OPTIONS="suppressions=$PWD/tests/support/lsan_suppressions.txt:print_suppressions=0"
tools/run_tests.sh "$folder" -L 'unit|contract|integration|simulation' -E "$excluded" -j "$jobs" --timeout 600
