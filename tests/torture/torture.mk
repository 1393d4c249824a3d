# make torture: the requests, jobs and units of work of the tests again and again, each time with another thing failing (tests/torture/torture.c), on
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

# Left out, and why:
#   dispatch…                      routes of their own, whose handlers count how often they run
#   nodes_postgres redis outbox    several nodes, or a Redis that the test stops and starts
#   postgres race                  what several threads or connections do at once, each with a part in it
#   stream sentry                  hear or count what replays would send
#   import export clock limits statements openapi fuzz sandbox zz_coverage hash_memory: next to nothing that could fail
TORTURED := $(filter-out api_dispatch% %_postgres %_race api_redis api_outbox api_stream api_sentry api_import api_export api_clock api_limits \
	api_statements api_openapi api_fuzz api_sandbox api_zz_coverage %_hash_memory,$(filter api_% audit_% identity_% attendance_%,$(UNIT)))
TORTURE_SAMPLE := api_accounts_reset api_auth api_campus_mark api_outside

# A test's own calls of these are steps of the torture; those of the program are not.
STEPS := db_write job_run
$(B)/torture/unit/%.o: $(B)/tests/unit/%.o
	@mkdir -p $(@D)
	objcopy $(foreach f,$(STEPS),--redefine-sym $(f)=torture_$(f)) $< $@

$(patsubst %,$(B)/torture/%,$(TORTURED)): $(B)/torture/%: $(B)/torture/unit/%.o $(TORTURE_OBJS) $(SUPPORT_OBJS) $(LIB_OBJS)
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter-out $(FAULTY:$(B)/torture/%=$(B)/%),$^) $(ALL_LIBS) -lcmocka

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
