# What is broken on purpose: `make chaos` for all of it, `make chaos T=disk-full` for one; docs/chaos.md has the table.  The end-to-end
# tests run the short forms.
CHAOS_LIBS := $(B)/chaos/clock.so $(B)/chaos/slowsync.so

$(B)/chaos/clock.so: tests/chaos/clock.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -shared -fPIC -o $@ $< -ldl
$(B)/chaos/slowsync.so: bench/slowsync.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -std=gnu17 -D_GNU_SOURCE -shared -fPIC -o $@ $< -ldl

.PHONY: chaos
chaos: all $(CHAOS_LIBS)
	@MUSTER='$(abspath $(B))/muster' CHAOS_LIBS='$(abspath $(B))/chaos' node tests/chaos/run.js $(T)
