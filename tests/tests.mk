# Everything that proves something.  `make test` runs the stages below through tools/test.sh, stops at none, and ends with one line
# of counts; each stage also stands alone.

UNIT_PROGRAMS := $(UNIT:%=$(B)/tests/%)
# -static-libubsan: beside a shared AddressSanitizer it knows no log_path.
ASAN := -fsanitize=address,undefined -static-libubsan -fno-sanitize-recover=undefined -fno-omit-frame-pointer
TSAN := -fsanitize=thread -fno-omit-frame-pointer

include tests/chaos/chaos.mk

.PHONY: test unit unit-programs e2e asan tsan lint lint-objs lint-test-objs docs docs-check
test:
	@B='$(B)' MAKE='$(MAKE)' sh tools/test.sh

# T=store_batch runs one program.
unit:
	@$(MAKE) --no-print-directory -k $(if $(T),$(B)/tests/$(T),unit-programs) || true
	@B='$(B)' sh tools/run-unit.sh $(if $(T),$(T),$(UNIT))
unit-programs: nothing $(UNIT_PROGRAMS)

# The same tests on PostgreSQL: one server for all of them, a database for each.  Left out are those that run on both engines anyway,
# on a server that they stop and start themselves, and the fuzz corpus, which is about parsers.
OWN_SERVER := $(filter %_postgres %_race %_fuzz,$(UNIT))
UNIT_PG := $(filter audit_% notify_% identity_% attendance_% api_%,$(filter-out $(OWN_SERVER),$(UNIT)))
.PHONY: unit-pg
unit-pg:
	@$(MAKE) --no-print-directory -k $(if $(T),$(B)/tests/$(T),nothing $(UNIT_PG:%=$(B)/tests/%)) || true
	@B='$(B)' UNIT_STAGE='unit on postgresql' sh tools/with-postgres.sh sh tools/run-unit.sh $(if $(T),$(T),$(UNIT_PG))

# T=tests/e2e/story.test.js runs one file.
.PHONY: e2e-programs
e2e-programs: all $(CHAOS_LIBS)
e2e: e2e-programs
	@B='$(B)' sh tools/run-e2e.sh $(if $(T),$(T),tests/e2e)

# The same tests against two nodes on one PostgreSQL behind nginx.  Left out, and why:
#   backup commands import import-attendance operator    look at the SQLite file, or run commands on it
#   backup-postgres canary import-database               bring a database of their own, on either engine
#   outage redis storage                                 bring servers of their own, whose database, Redis or bucket they stop
#   durability                                           kills the one process and opens its file; nodes-kill does it to one of two
#   lifecycle                                            signals to, and the end of, the one process
#   rawsocket                                            what nginx answers itself: framing, sizes, headers of broken requests
#   tls                                                  the one process's own certificate
#   chaos                                                starts servers of its own and breaks what is below them
#   timing                                               measures one process, with rows set by SQLite's functions
E2E_ONE_NODE := backup backup-postgres canary chaos commands durability import import-attendance import-database lifecycle operator outage \
	rawsocket redis storage timing tls
.PHONY: e2e-nodes two-nodes
e2e-nodes: $(B)/muster
	@MUSTER_E2E=nodes B='$(B)' sh tools/run-e2e.sh $(if $(T),$(T),$(filter-out $(E2E_ONE_NODE:%=tests/e2e/%.test.js),$(wildcard tests/e2e/*.test.js)))

# One node of two killed under load, and what clients see: renews the transcript.
two-nodes: $(B)/muster
	@MUSTER_TRANSCRIPT='$(abspath $(B))/two-nodes.txt' B='$(B)' sh tools/run-e2e.sh tests/e2e/nodes-kill.test.js
	@{ sed '/^```$$/,$$d' docs/two-nodes.md && echo '```' && cat $(B)/two-nodes.txt && echo '```'; } >$(B)/two-nodes.md && \
		mv $(B)/two-nodes.md docs/two-nodes.md

# Performance and accessibility of the check-in page.  Its packages, over 100 MB, come with the first run and no other target.
LIGHTHOUSE := tests/e2e/lighthouse
.PHONY: lighthouse
lighthouse: $(B)/muster $(LIGHTHOUSE)/node_modules/.muster-stamp
	@MUSTER='$(abspath $(B))/muster' node $(LIGHTHOUSE)/check-in.mjs
$(LIGHTHOUSE)/node_modules/.muster-stamp: $(LIGHTHOUSE)/package-lock.json
	sh tools/npm-ci.sh $@

# Renews the answers in docs/api.md, which the end-to-end tests compare.
.PHONY: tour
tour: $(B)/muster
	@MUSTER_TOUR='$(abspath docs/api.md)' B='$(B)' sh tools/run-e2e.sh tests/e2e/tour.test.js

# What the clock tells about failed logins, at the cost of production; `make test` runs the same, smaller.
.PHONY: timing
timing: $(B)/muster
	@TIMING_N=$${TIMING_N:-300} TIMING_ROUNDS=$${TIMING_ROUNDS:-12} B='$(B)' sh tools/run-e2e.sh tests/e2e/timing.test.js

# --- fuzzing: tests/fuzz, one program with every target; its corpus is replayed by the unit program api_fuzz ------------------------
FUZZ_OBJS := $(patsubst tests/%.c,$(B)/tests/%.o,$(filter-out %/libfuzzer.c,$(sort $(wildcard tests/fuzz/*.c))))
FUZZ_PARTS := $(FUZZ_OBJS) $(B)/tests/fuzz/picture.o $(B)/tests/fuzz/face-image.o
FUZZ_CXX := $(CXX) -std=c++17 $(OPT) $(CFLAGS) $(SANITIZE) -Wall -Wextra $(if $(WERROR),-Werror) -fPIE -Iface -Itests -MMD -MP -c -o
$(B)/tests/fuzz/picture.o: tests/fuzz/picture.cpp
	@mkdir -p $(@D)
	$(FUZZ_CXX) $@ $<
$(B)/tests/fuzz/face-image.o: face/image.cpp
	@mkdir -p $(@D)
	$(FUZZ_CXX) $@ $<
$(B)/tests/api_fuzz: $(FUZZ_PARTS)
$(B)/tests/api_fuzz $(B)/tests/fuzz-targets: ALL_LIBS += -ljpeg -lpng -lstdc++
FUZZ := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ_CC ?= clang
$(B)/tests/fuzz-targets: $(B)/tests/fuzz/libfuzzer.o $(FUZZ_PARTS) $(LIB_OBJS) $(SUPPORT_OBJS)
	$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(ALL_LIBS) -lcmocka
-include $(FUZZ_PARTS:.o=.d)

# T=qr runs one target; FUZZ_SECONDS is for each.
.PHONY: fuzz fuzz-program
fuzz-program:
	@$(MAKE) --no-print-directory B=$(B)-fuzz CC=$(FUZZ_CC) CXX=$(FUZZ_CC)++ OPT=-O1 SANITIZE='$(FUZZ)' WEB=0 $(B)-fuzz/tests/fuzz-targets
fuzz: fuzz-program
	@B='$(B)-fuzz' sh tools/fuzz.sh $(T)

# --- sanitizers: the unit and api programs, then the end-to-end files against a server that was built the same way ---------------------
# asan-unit, asan-e2e, tsan-unit and tsan-e2e are its halves; T= names one program or file.  Left out, and why:
#   api_sandbox  such builds have no sandbox: the leak checker starts a process at the end, and reports are files
#   timing       measures the clock
#   web-* tls    of ThreadSanitizer only: they test pages, which take their time in the browser
NOT_ASAN := timing
NOT_TSAN := timing tls $(patsubst tests/e2e/%.test.js,%,$(wildcard tests/e2e/web-*.test.js))
UNIT_SANITIZED := $(filter-out api_sandbox,$(UNIT))
e2e_without = $(filter-out $(1:%=tests/e2e/%.test.js),$(wildcard tests/e2e/*.test.js))
ASAN_MAKE := $(MAKE) --no-print-directory B=$(B)-asan OPT=-O1 SANITIZE='$(ASAN)'
TSAN_MAKE := $(MAKE) --no-print-directory B=$(B)-tsan OPT=-O1 SANITIZE='$(TSAN)'
.PHONY: asan-unit asan-e2e tsan-unit tsan-e2e
asan: asan-unit asan-e2e
tsan: tsan-unit tsan-e2e
asan-unit:
	@B='$(B)-asan' sh tools/with-sanitizer.sh $(ASAN_MAKE) unit UNIT='$(UNIT_SANITIZED)'
asan-e2e:
	@$(ASAN_MAKE) -s e2e-programs
	@B='$(B)-asan' sh tools/with-sanitizer.sh sh tools/run-e2e.sh $(if $(T),$(T),$(call e2e_without,$(NOT_ASAN)))
tsan-unit:
	@B='$(B)-tsan' sh tools/with-sanitizer.sh $(TSAN_MAKE) unit UNIT='$(UNIT_SANITIZED)'
tsan-e2e:
	@$(TSAN_MAKE) -s e2e-programs
	@B='$(B)-tsan' sh tools/with-sanitizer.sh sh tools/run-e2e.sh $(if $(T),$(T),$(call e2e_without,$(NOT_TSAN)))

include tests/torture/torture.mk

lint:
	@B='$(B)' MAKE='$(MAKE)' sh tools/lint.sh
lint-objs: nothing $(APP_OBJS)
lint-test-objs: nothing $(UNIT:%=$(B)/tests/unit/%.o) $(SUPPORT_OBJS) $(FUZZ_OBJS)

# The generated documents: `docs` writes them, `docs-check` fails when the repository's differ.
docs: $(B)/muster
	@sh tools/docs.sh $(B)/muster .
docs-check: $(B)/muster
	@B='$(B)' sh tools/docs-check.sh $(B)/muster
