# Benchmark programs; `make bench` prints one table and asserts nothing.
BENCH := $(addprefix $(B)/bench/,load listeners limits bare_http slowsync.so seed)

$(B)/bench/load: bench/load.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -std=gnu17 -D_GNU_SOURCE -o $@ $<
$(B)/bench/listeners: bench/listeners.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -std=gnu17 -D_GNU_SOURCE -o $@ $<
$(B)/bench/limits: bench/limits.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -std=gnu17 -D_GNU_SOURCE -o $@ $< -lcrypt -lpthread
$(B)/bench/bare_http: bench/bare_http.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -std=gnu17 -D_GNU_SOURCE -o $@ $< -lmicrohttpd -lpthread
$(B)/bench/slowsync.so: bench/slowsync.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -std=gnu17 -D_GNU_SOURCE -shared -fPIC -o $@ $< -ldl
$(B)/bench/seed.o: bench/seed.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/bench/seed: $(B)/bench/seed.o $(LIB_OBJS)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

-include $(B)/bench/seed.d

.PHONY: bench bench-programs
bench-programs: $(B)/muster $(BENCH)
bench: bench-programs
	node bench/run.mjs $(B) $(BENCH_ARGS)
