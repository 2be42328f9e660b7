#!/usr/bin/env bash
# sanitized.sh FOLDER SANITIZERS JOBS: builds in FOLDER under these sanitizers and runs the tests in C++, then those of real
# processes whose workers compute nothing: whatever a coordinator, a client or a worker has to complain of fails. Clang where
# it is there, else the default compiler. The last line says how many passed and failed.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 sanitizers=$2 jobs=$3
torch_suites=(engine_test model_tests prune_test score_tests train_test)
suites=(artifacts base checkpoint client contract core domain fuzz http integration lead pages picture schedule search security session simulation wire)
programs=(espalier espalier-coordinator espalier-fake-worker)
processes=(service security artifacts backup failover)
# LibTorch is not built for ThreadSanitizer: every hand-over among its threads would be a report.
if [ "$sanitizers" = thread ]; then
  torch_suites=() with_worker=OFF
else
  processes+=(faults) programs+=(espalier-worker) with_worker=ON
fi
compiler=()
if [ ! -e "$folder/CMakeCache.txt" ] && command -v clang++ > /dev/null; then compiler=(-DCMAKE_CXX_COMPILER=clang++); fi
cmake -S . -B "$folder" -G Ninja "${compiler[@]}" -DESPALIER_SANITIZE="$sanitizers" -DESPALIER_BUILD_WORKER=$with_worker > "$folder.log" 2>&1 ||
  { cat "$folder.log"; exit 1; }
mv "$folder.log" "$folder/configure.log"
targets=("${programs[@]}" "${torch_suites[@]}")
for suite in "${suites[@]}"; do targets+=("${suite}_test"); done
ninja -C "$folder" -j "$jobs" --quiet "${targets[@]}"

asan=strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS="suppressions=$PWD/tests/support/tsan_suppressions.txt:second_deadlock_stack=1"
export LSAN_OPTIONS="suppressions=$PWD/tests/support/lsan_suppressions.txt:print_suppressions=0"
passed=0 failed=0
count() {  # NAME ARGUMENTS OF CTEST...: runs these tests and adds their numbers up
  local output="$folder/$1.log"
  shift
  tools/run_tests.sh "$folder" "$@" -j "$jobs" --timeout 900 | tee "$output" || true
  read -r ours theirs < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$output" | tail -1; echo 0 1)
  passed=$((passed + ours)) failed=$((failed + theirs))
}
# The suites of other folders are registered as not built.
torch_names=$(IFS='|'; echo "${torch_suites[*]}")
others='interop|layering|deploy|docs|e2e|slurm|observability|proto|contract: artifacts'
ASAN_OPTIONS=$asan:detect_leaks=1 count without-torch -L 'unit|contract|integration|simulation' \
  -E "^($others${torch_names:+|(${torch_names}):})|_NOT_BUILT"
# LeakSanitizer itself breaks off where it reads the memory of NVRTC's threads, so no leaks are looked for here.
if [ -n "$torch_names" ]; then ASAN_OPTIONS=$asan:detect_leaks=0 count torch -R "^($torch_names):"; fi

# Processes that a test kills cannot fail by their exit code: each writes what it finds into a file.
python=$(cat .deps/python-interpreter)
found=$(realpath "$folder")/found
rm -rf "$found"
mkdir "$found"
for name in "${processes[@]}"; do
  echo "=== tests/e2e/${name}_test.py"
  code=0
  env ASAN_OPTIONS="$asan:detect_leaks=0:log_path=$found/$name" UBSAN_OPTIONS="$UBSAN_OPTIONS:log_path=$found/$name" \
    TSAN_OPTIONS="$TSAN_OPTIONS:log_path=$found/$name" "$python" "tests/e2e/${name}_test.py" "$folder" || code=$?
  if [ $code -eq 77 ]; then
    echo "${name}: left out, see above"
  elif [ $code -ne 0 ] || compgen -G "$found/$name.*" > /dev/null; then
    cat "$found/$name".* 2> /dev/null || true
    failed=$((failed + 1))
  else
    passed=$((passed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
