#!/usr/bin/env bash
# fuzz.sh FOLDER JOBS SECONDS: builds the fuzzers of tests/fuzz in FOLDER (Clang, AddressSanitizer, UBSan) and runs each for
# SECONDS, from seeds, from what was found before and from what it has collected in FOLDER/corpus. An input that breaks
# something is put into tests/fuzz/found/TARGET, and the exit code is 1.
# fuzz.sh FOLDER JOBS planted: runs each against a defect that is planted for it (tests/fuzz/planted_defects.py).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 jobs=$2 seconds=$3
if ! command -v clang++ > /dev/null || ! ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a > /dev/null 2>&1; then
  echo "fuzz: skipped, there is no clang with libFuzzer (tools/setup.sh --full installs clang and libclang-rt-14-dev)"
  exit 0
fi
cmake -S . -B "$folder" -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DESPALIER_SANITIZE=address,undefined -DESPALIER_BUILD_WORKER=OFF \
  > "$folder.log" 2>&1 || { cat "$folder.log"; exit 1; }
mv "$folder.log" "$folder/configure.log"
ninja -C "$folder" -j "$jobs" --quiet fuzzers
"$folder/bin/write_seeds" "$folder/seeds"
export UBSAN_OPTIONS=print_stacktrace=1
[ "$seconds" != planted ] || exec python3 tests/fuzz/planted_defects.py "$folder"
failed=0
for program in "$folder"/bin/fuzz-*; do
  target=${program##*/fuzz-}
  mkdir -p "$folder/corpus/$target" "tests/fuzz/found/$target"
  if "$program" -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
      -artifact_prefix="tests/fuzz/found/$target/" "$folder/corpus/$target" "$folder/seeds/$target" "tests/fuzz/found/$target" \
      > "$folder/fuzz-$target.log" 2>&1; then
    runs=$(sed -n 's/stat::number_of_executed_units: *//p' "$folder/fuzz-$target.log")
    echo "fuzz: $target: $runs inputs in $seconds s, nothing found"
  else
    failed=1
    echo "fuzz: $target: FOUND SOMETHING; the input is in tests/fuzz/found/$target, the report:"
    grep -v '^#' "$folder/fuzz-$target.log" | tail -n 40
  fi
done
find tests/fuzz/found -type d -empty -delete
exit "$failed"
