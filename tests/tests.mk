# Test programs are built with the sanitizers on glibc; results land in
# build/results as JUnit XML and tests/tally.py counts them.

.PHONY: test test-programs test-ec test-peers test-faults check lint lint-steps \
        fuzz
PYTHON := /usr/bin/python3
TALLY  := tests/tally.py
UNITS   := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all \
            -fno-omit-frame-pointer
TEST_FLAGS := -std=c11 -g -O1 $(SANITIZE) $(WARN) -Itests/unit

build/san/%.o: %.c Makefile tests/tests.mk | $(GEN_H)
	@mkdir -p $(@D)
	@gcc $(CPPFLAGS) $(TEST_FLAGS) -MD -MP -c -o $@ $<

build/san/lib.a: $(call objects,san,$(LIB_SRC) $(GEN_SRC)) Makefile build/ec
	@rm -f $@
	@ar rcsD $@ $(filter %.o,$^)

TEST_LIBS := build/san/lib.a $(call vendor_libs,san)
# Our code needs BearSSL, and BearSSL our rounds of SHA-256.
GROUP      = -Wl,--start-group $^ -Wl,--end-group
build/test/%: build/san/tests/unit/%.o $(TEST_LIBS)
	@mkdir -p $(@D)
	@gcc $(SANITIZE) $(LINK) -o $@ $(GROUP) -lcmocka -lpthread
build/test/test_alloc build/cov/test/test_alloc: LINK := \
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup \
    -Wl,--wrap=mmap,--wrap=munmap
build/test/test_certificate build/cov/test/test_certificate: LINK := \
    -Wl,--wrap=clock_utc_s

build/replay/%: build/san/tests/fuzz/fuzz_%.o \
                build/san/tests/fuzz/replay_main.o $(TEST_LIBS)
	@mkdir -p $(@D)
	@gcc $(SANITIZE) -o $@ $(GROUP) -lpthread

test-programs: all build/echo $(UNITS:%=build/test/%) $(FUZZERS:%=build/replay/%)

TEST_OUT := build/results/test
test:
	@tools/need test
	@rm -rf $(TEST_OUT) build/test build/replay
	+@$(TALLY) item $(TEST_OUT) build -- \
	    $(MAKE) --no-print-directory -k test-programs || true
	@for unit in $(UNITS); do \
	    $(TALLY) suite --seconds 120 $(TEST_OUT) $$unit -- \
	        build/test/$$unit || true; \
	done
	@for name in $(FUZZERS); do \
	    $(TALLY) item --seconds 120 $(TEST_OUT) replay_$$name -- \
	        build/replay/$$name tests/fuzz/corpus/$$name tests/fuzz/regress/$$name || true; \
	done
	@$(TALLY) suite --stream $(TEST_OUT) e2e -- $(PYTHON) -m pytest -q \
	    -p no:cacheprovider --junitxml=$(TEST_OUT)/e2e.xml tests/e2e || true
	@$(TALLY) report $(TEST_OUT)

# The curves at length: the objects that are shipped, in a program for glibc.
# Takes a quarter of an hour.
build/fast/test_ec: tests/unit/test_ec.c build/vendor/musl/libbearssl.a \
                    $(call objects,obj,$(filter src/base/%,$(LIB_SRC)))
	@mkdir -p $(@D)
	@gcc $(CPPFLAGS) -std=c11 -O2 $(WARN) -Itests/unit -o $@ \
	    $(filter %.c %.o,$^) $(filter %.a,$^) -lcmocka
test-ec: build/fast/test_ec
	@EC_CASES=1000000 $<

PEERS_OUT := build/results/peers
test-peers:
	@tools/need test
	@rm -rf $(PEERS_OUT)
	+@$(TALLY) item $(PEERS_OUT) build -- \
	    $(MAKE) --no-print-directory all build/echo || true
	@$(TALLY) suite --stream $(PEERS_OUT) peers -- $(PYTHON) -m pytest -q \
	    -p no:cacheprovider --junitxml=$(PEERS_OUT)/peers.xml tests/peers || true
	@$(TALLY) report $(PEERS_OUT)

# Attacks on a live server; make soak MINUTES=30: mixed traffic, no growth.
.PHONY: test-attack soak
ATTACK_OUT := build/results/attack
test-attack:
	@tools/need test
	@rm -rf $(ATTACK_OUT)
	+@$(TALLY) item $(ATTACK_OUT) build -- $(MAKE) --no-print-directory all \
	    || true
	@$(TALLY) suite --stream $(ATTACK_OUT) attack -- $(PYTHON) -m pytest -q \
	    -p no:cacheprovider --junitxml=$(ATTACK_OUT)/attack.xml tests/attack \
	    || true
	@$(TALLY) report $(ATTACK_OUT)

MINUTES := 30
soak: all
	@$(PYTHON) tests/attack/soak.py --minutes $(MINUTES)

# Killed, powered off, with broken calls; tests/fault/conftest.py has sizes.
FAULTS_OUT := build/results/faults
test-faults:
	@tools/need test
	@rm -rf $(FAULTS_OUT)
	+@$(TALLY) item $(FAULTS_OUT) build -- \
	    $(MAKE) --no-print-directory all || true
	@$(TALLY) suite --stream --seconds 3600 $(FAULTS_OUT) faults -- \
	    $(PYTHON) -m pytest -q -p no:cacheprovider \
	    --junitxml=$(FAULTS_OUT)/faults.xml tests/fault || true
	@$(TALLY) report $(FAULTS_OUT)

# Lint. What both compilers and clang-tidy have passed is not read again.
TEST_SRC := $(wildcard tests/unit/*.c tests/fuzz/*.c tests/echo/*.c)
LINTED   := $(sort $(SRC) $(patsubst %,src/base/%.c,$(EC_own) $(EC_bearssl)))
SHIPPED  := $(LINTED) $(wildcard $(ECHO).c)
checked   = $(patsubst %.c,build/check/$(1)/%.o,$(LINTED) $(TEST_SRC))
STRICT   := $(CPPFLAGS) -std=c11 $(WARN) -Werror -Itests/unit -MD -MP

build/check/gcc/%.o: %.c Makefile | $(GEN_H)
	@mkdir -p $(@D)
	@gcc $(STRICT) -O2 -c -o $@ $<

build/check/clang/%.o: %.c Makefile | $(GEN_H)
	@mkdir -p $(@D)
	@clang $(STRICT) -O2 -c -o $@ $<

# The dependencies of a tidied file are those of its gcc object.
build/check/tidy/%.o: %.c build/check/gcc/%.o .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(CPPFLAGS) -std=c11 2>$@.log || \
	    { cat $@.log; exit 1; }
	@touch $@

.PHONY: check-gcc check-clang check-tidy
check-gcc: $(call checked,gcc)
check-clang: $(call checked,clang)
check-tidy: $(patsubst %.c,build/check/tidy/%.o,$(SHIPPED))

CHECK_OUT := build/results/check
FORMATTED  = $(sort $(wildcard $(addsuffix /*.[ch],src/* tools tests/*)))
check: lint-steps
	+@for step in gcc clang tidy; do \
	    $(TALLY) item $(CHECK_OUT) $$step -- \
	        $(MAKE) --no-print-directory -k check-$$step || true; \
	done
	@$(TALLY) report $(CHECK_OUT)

lint: lint-steps
	@$(TALLY) report $(CHECK_OUT)

lint-steps:
	@tools/need check
	@rm -rf $(CHECK_OUT)
	+@$(TALLY) item $(CHECK_OUT) compiles -- \
	    $(MAKE) --no-print-directory -k $(call objects,obj,$(LINTED)) || true
	@$(TALLY) item $(CHECK_OUT) format -- \
	    clang-format --dry-run -Werror $(FORMATTED) || true
	@$(TALLY) item $(CHECK_OUT) sources -- tests/lint/sources $(LINTED) || true
	@for step in layers sizes banned symbols; do \
	    $(TALLY) item $(CHECK_OUT) $$step -- tests/lint/$$step || true; \
	done

# make bench BENCH='--only reauth --rounds 1': side by side with peers; see
# docs/performance.md. It never gates. bench-docs publishes its figures.
.PHONY: bench bench-docs
build/bench/load: tests/bench/load.c tests/bench/latency.h \
                  tests/bench/options.h tests/tests.mk
	@mkdir -p $(@D)
	@gcc -O2 -std=gnu11 -D_GNU_SOURCE $(WARN) -o $@ $< -lssl -lcrypto
build/bench/lws_server: tests/bench/lws_server.c tests/tests.mk
	@mkdir -p $(@D)
	@gcc -O3 -std=gnu11 -Wall -Wextra -o $@ $< -lwebsockets -llmdb -lcjson \
	    -lcrypto -lssl
bench:
	@tools/need bench
	@$(MAKE) --no-print-directory all build/bench/load build/bench/lws_server
	@tests/bench/bench.py $(BENCH)
bench-docs:
	@tests/bench/report.py build/bench/results.json --into docs/performance.md
	@cp build/bench/bench.svg docs/bench.svg

# make fuzz SECONDS=60: each target for so long, new inputs into build/fuzz.
SECONDS := 30
build/fuzz/obj/%.o: %.c Makefile tests/tests.mk | $(GEN_H)
	@mkdir -p $(@D)
	@clang $(CPPFLAGS) $(TEST_FLAGS) -fsanitize=fuzzer-no-link -MD -MP \
	    -c -o $@ $<

build/fuzz/fuzz_%: build/fuzz/obj/tests/fuzz/fuzz_%.o \
                   $(call objects,fuzz/obj,$(LIB_SRC) $(GEN_SRC)) \
                   $(call vendor_libs,fuzz)
	@clang $(SANITIZE) -fsanitize=fuzzer -o $@ $^ -lpthread

fuzz:
	@tools/need fuzz
	@$(MAKE) --no-print-directory $(FUZZERS:%=build/fuzz/fuzz_%)
	@for name in $(FUZZERS); do \
	    echo "== $$name"; mkdir -p build/fuzz/new/$$name build/fuzz/crash; \
	    build/fuzz/fuzz_$$name -max_total_time=$(SECONDS) -verbosity=0 \
	        -print_final_stats=1 -artifact_prefix=build/fuzz/crash/$$name- \
	        build/fuzz/new/$$name tests/fuzz/corpus/$$name || exit 1; \
	done

# Coverage of src and tools by unit tests, replayed inputs and e2e, on glibc.
# The libraries bring the sanitizers. The server is linked without its sandbox,
# in which it could not write down its counters.
.PHONY: coverage coverage-programs
COV_FLAGS := -std=c11 -g -O0 --coverage -fprofile-update=atomic $(WARN) \
             -Itests/unit
COV_LIBS  := build/cov/lib.a $(call vendor_libs,san)
cov_link   = gcc $(SANITIZE) --coverage $(LINK) -o $@ $(filter %.o,$^) \
             -Wl,--start-group $(filter %.a,$^) -Wl,--end-group
build/cov/%.o: %.c Makefile tests/tests.mk | $(GEN_H)
	@mkdir -p $(@D)
	@gcc $(CPPFLAGS) $(COV_FLAGS) -MD -MP -c -o $@ $<

build/cov/lib.a: $(call objects,cov,$(LIB_SRC) $(GEN_SRC)) Makefile
	@rm -f $@
	@ar rcsD $@ $(filter %.o,$^)

build/cov/test/%: build/cov/tests/unit/%.o $(COV_LIBS)
	@mkdir -p $(@D)
	@$(cov_link) -lcmocka -lpthread

build/cov/replay/%: build/cov/tests/fuzz/fuzz_%.o \
                    build/cov/tests/fuzz/replay_main.o $(COV_LIBS)
	@mkdir -p $(@D)
	@$(cov_link) -lpthread

build/cov/openchampps: build/cov/tools/main.o build/cov/tests/e2e/no_sandbox.o
build/cov/echo: build/cov/$(ECHO).o
build/cov/openchampps build/cov/echo: $(COV_LIBS)
	@$(cov_link) -lpthread

coverage-programs: all $(UNITS:%=build/cov/test/%) \
    $(FUZZERS:%=build/cov/replay/%) build/cov/openchampps build/cov/echo

# What fails here is for `make test` to tell.
COV_OUT := build/results/coverage
coverage:
	@tools/need coverage
	@mkdir -p $(COV_OUT)
	@$(MAKE) --no-print-directory coverage-programs
	@find build/cov -name '*.gcda' -delete
	-@for unit in $(UNITS); do timeout 300 build/cov/test/$$unit; done \
	    >$(COV_OUT)/unit.log 2>&1
	-@for name in $(FUZZERS); do \
	    build/cov/replay/$$name tests/fuzz/corpus/$$name; \
	done >$(COV_OUT)/replay.log 2>&1
	-@ASAN_OPTIONS=detect_leaks=0:handle_segv=0:handle_sigbus=0 \
	    E2E_BINARY=build/cov/openchampps E2E_ECHO=build/cov/echo $(PYTHON) \
	    -m pytest -q -p no:cacheprovider tests/e2e >$(COV_OUT)/e2e.log 2>&1
	@gcovr --root . --object-directory build/cov --filter src/ \
	    --filter tools/ --exclude-branches-by-pattern '.*\bassert\(' \
	    --json $(COV_OUT)/all.json build/cov
	@gcovr --root . -a $(COV_OUT)/all.json
	@gcovr --root . -a $(COV_OUT)/all.json --branches

-include $(patsubst %.c,build/san/%.d,$(LIB_SRC) $(TEST_SRC))
-include $(patsubst %.c,build/cov/%.d,$(LIB_SRC) $(TEST_SRC))
-include $(patsubst %.o,%.d,$(call checked,gcc) $(call checked,clang))
-include $(patsubst %.c,build/fuzz/obj/%.d,$(LIB_SRC) $(TEST_SRC))
