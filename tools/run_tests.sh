#!/usr/bin/env bash
# Runs ctest in the build folder $1 with the remaining arguments. Says at the end which tests were skipped and why; the last
# line says how many passed and failed. What ctest knows of each test stays in TEST_RECORD ($1/tests.xml).
set -uo pipefail
folder=$1
shift
record=$(realpath -m "${TEST_RECORD:-$folder/tests.xml}")
rm -f "$record"
ctest --test-dir "$folder" --output-on-failure --no-tests=error --test-output-size-passed 100000 --output-junit "$record" "$@" 2>&1
status=$?
/usr/bin/env python3 "$(dirname "$0")/test_record.py" "$record" || { echo "0 passed, 1 failed"; exit 1; }
[ -s "$record" ] || exit 1
exit "$status"
