# make torture: the requests of the api tests again and again, each time with another thing failing (tests/torture/torture.c), on
# both engines.  The objects are those of `make asan`, but for the files that have points of failure (core/fault.h), which are compiled
# once more with them live.  T= names one program, ENGINE=sqlite or postgres one engine.  `make torture-short` is a sample, on SQLite,
# of the objects of this build.

FAULTY := $(patsubst src/%.c,$(B)/torture/%.o,$(shell grep -lw FAULT $(wildcard src/*/*.c)))
TORTURE_OBJS := $(patsubst tests/%.c,$(B)/tests/%.o,$(sort $(wildcard tests/torture/*.c))) $(FAULTY)

$(B)/torture/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DMUSTER_TORTURE -MMD -MP -c -o $@ $<
$(patsubst tests/%.c,$(B)/tests/%.o,$(wildcard tests/torture/*.c)): ALL_CFLAGS += -DMUSTER_TORTURE
-include $(TORTURE_OBJS:.o=.d)

$(B)/torture/api_%: $(B)/tests/unit/api_%.o $(TORTURE_OBJS) $(SUPPORT_OBJS) $(LIB_OBJS)
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter-out $(FAULTY:$(B)/torture/%=$(B)/%),$^) $(ALL_LIBS) -lcmocka

# Left out, and why:
#   dispatch…                routes of their own, whose handlers count how often they run
#   nodes_postgres redis     several nodes, or a Redis that the test stops and starts
#   stream                   listens to what replays would send
#   sentry                   counts what arrives at a peer
#   backup import export jobs clock limits statements openapi fuzz sandbox zz_coverage: no requests, or next to none
TORTURED := $(filter-out api_dispatch% %_postgres api_redis api_stream api_sentry api_backup api_import api_export api_jobs api_clock \
	api_limits api_statements api_openapi api_fuzz api_sandbox api_zz_coverage,$(filter api_%,$(UNIT)))
TORTURE_SAMPLE := api_accounts_reset api_auth api_campus_mark

.PHONY: torture torture-engines torture-short torture-programs
torture-programs: nothing $(patsubst %,$(B)/torture/%,$(if $(T),$(T),$(TORTURED)))
torture:
	@$(MAKE) --no-print-directory -s B=$(B)-asan OPT=-O1 SANITIZE='$(ASAN)' torture-programs torture-engines
torture-engines: torture-programs
	@status=0; \
	[ '$(ENGINE)' = postgres ] || B='$(B)' TORTURE_STAGE='torture sqlite' sh tests/torture/run.sh $(if $(T),$(T),$(TORTURED)) || status=1; \
	[ '$(ENGINE)' = sqlite ] || B='$(B)' TORTURE_STAGE='torture postgresql' sh tools/with-postgres.sh sh tests/torture/run.sh \
		$(if $(T),$(T),$(TORTURED)) || status=1; \
	exit $$status
torture-short:
	@$(MAKE) --no-print-directory -s torture-programs T='$(TORTURE_SAMPLE)'
	@B='$(B)' MUSTER_TORTURE_POINTS=1 MUSTER_TORTURE_EACH=1 sh tests/torture/run.sh $(TORTURE_SAMPLE)
