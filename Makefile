# Two commands for everyone: `make demo` and `make test`. Both install what is missing (tools/setup.sh).
BUILD ?= build
BUILD_TYPE ?= Release
JOBS ?= $(shell nproc)
# On a terminal one line counts the steps; into a file only what goes wrong is said.
NINJA = ninja -C $(BUILD) -j $(JOBS) $$([ -t 1 ] || echo --quiet)

.PHONY: help setup configure build demo test test-full test-asan test-tsan fuzz fuzz-planted soak interop bundle clean

help:
	@echo "make demo       build, then prune the bundled model on this machine and show the result"
	@echo "make test       build, then run the tests"
	@echo "make test-full  all of them, the slow ones too, with a table at the end (tools/setup.sh --full installs what they need)"
	@echo "make test-asan  the tests under AddressSanitizer and UBSan; make test-tsan: those without LibTorch under ThreadSanitizer"
	@echo "make fuzz       every fuzzer for SECONDS=600 (needs clang: tools/setup.sh --full)"
	@echo "make soak       simulate the service under faults for SECONDS=600, with new seeds every time"
	@echo "make interop    try the exports in transformers, PEFT, lm-evaluation-harness and llama.cpp (installs them)"
	@echo "make bundle     build/espalier-bundle.tar.xz: the programs for machines that have torch 2.11 and no packages"
	@echo "make build      only build; make setup: only install what is missing"

setup:
	@tools/setup.sh

configure: setup
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=$(BUILD_TYPE) > $(BUILD).configure.log 2>&1 \
	  || { cat $(BUILD).configure.log; rm -f $(BUILD).configure.log; exit 1; }
	@mv $(BUILD).configure.log $(BUILD)/configure.log
	@[ -e $(BUILD)/.ninja_deps ] || echo "build: compiling for the first time, about 10 minutes on two cores"

build: configure
	@$(NINJA)

demo: configure
	@$(NINJA) espalier espalier-coordinator espalier-worker
	@$(BUILD)/bin/espalier demo

test: build
	@tools/run_tests.sh $(BUILD) -LE 'full|gpu|interop' -j $(JOBS)

# Everything, to the end whatever fails, with one table at the end. What is not installed is skipped and said (tools/setup.sh --full).
# EXCEPT=REGEX leaves out the steps and slow suites that it matches.
test-full: build
	@tools/test_full.py $(BUILD) $(JOBS) '$(EXCEPT)'

# Under sanitizers, in build folders of their own (docs/reliability.md says what each leaves out).
test-asan: setup
	@tools/sanitized.sh $(BUILD)-asan address,undefined $(JOBS)

test-tsan: setup
	@tools/sanitized.sh $(BUILD)-tsan thread $(JOBS)

# Each fuzzer of tests/fuzz for SECONDS; what it finds is put into tests/fuzz/found, where `make test` reads it.
fuzz: setup
	@tools/fuzz.sh $(BUILD)-asan $(JOBS) $(SECONDS)

# Whether the fuzzers find defects that are planted for them (in a copy of a source each).
fuzz-planted: setup
	@tools/fuzz.sh $(BUILD)-asan $(JOBS) planted

interop: configure
	@tools/setup_interop.sh
	@$(NINJA) espalier espalier-worker write_export
	@OMP_NUM_THREADS=$(JOBS) .deps/interop/bin/python tests/interop/tools_table.py $(BUILD)/bin/write_export $(BUILD)/bin/espalier

# Seeds of the simulation (docs/reliability.md) that nobody has seen yet, until the time is over.
SECONDS ?= 600
SEED ?= $(shell date +%s)
soak: configure
	@$(NINJA) espalier-simulation
	@$(BUILD)/bin/espalier-simulation --seed $(SEED) --seconds $(SECONDS)

bundle: configure
	@$(NINJA) espalier espalier-coordinator espalier-worker espalier-bench
	@tools/bundle.sh $(BUILD)

clean:
	rm -rf $(BUILD)
