# Muster.  `make` builds, `make test` proves; `./dev` installs what is missing first.  B= names the build directory.
#
#   make            the server, build/muster           make lint     layers, banned functions, layout, warnings with gcc and clang
#   make test       unit, e2e, lint, stale documents   make docs     the generated parts of docs/, .env.example and schema.sql
#   make asan tsan  the C suites under the sanitizers  make bench    figures and ratios (asserts nothing)
#   make timing    medians of failed logins at bcrypt cost 12      make fuzz  libFuzzer over tests/fuzz
#   make torture   requests, jobs and units of work of the tests while one thing after the other fails, on both engines (docs/torture.md);
#                  MUSTER_TORTURE_POINTS=6 MUSTER_TORTURE_EACH=2 for more than the default sample of 3 and 2
#   make install DESTDIR= PREFIX=/usr/local         make deb      Debian packages (deploy/deploy.mk: their tests, the image's)

B ?= build
CC ?= cc
PREFIX ?= /usr/local
WEB ?= 1
VERSION := 0.1.0

PKGS := libmicrohttpd jansson sqlite3 libpq libcurl openssl libargon2 libqrencode libpng libidn2 libcrypt xlsxwriter zlib hiredis libseccomp
# On Debian 13 xlsxwriter brings minizip's directory, whose crypt.h is not the system's.
PKG_CFLAGS := $(filter-out %/minizip,$(shell pkg-config --cflags $(PKGS)))
PKG_LIBS := $(shell pkg-config --libs $(PKGS))

OPT ?= -O2
SANITIZE ?=
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wformat=2 -Wundef -Wwrite-strings \
	-Wno-missing-field-initializers
HARDEN := -fstack-protector-strong -fPIE -fno-common $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2)
CFLAGS ?= -g
ALL_CFLAGS := -std=gnu17 $(OPT) $(CFLAGS) $(WARN) $(if $(WERROR),-Werror) $(HARDEN) $(SANITIZE) -Isrc -I$(B)/gen -D_GNU_SOURCE \
	-DMUSTER_VERSION='"$(VERSION)"' $(PKG_CFLAGS)
ALL_LIBS := $(PKG_LIBS) -lpthread -lm
ALL_LDFLAGS := $(LDFLAGS) $(SANITIZE) -pie -Wl,-z,relro,-z,now

LAYERS := core store net http audit notify identity attendance api jobs cli
src_of = $(sort $(wildcard src/$(1)/*.c src/$(1)/*/*.c))
obj_of = $(patsubst src/%.c,$(B)/%.o,$(call src_of,$(1)))
GEN_OBJS := $(B)/gen/migrations.o $(B)/gen/assets.o
APP_OBJS := $(foreach l,$(LAYERS),$(call obj_of,$(l)))
LIB_OBJS := $(filter-out $(B)/cli/main.o,$(APP_OBJS)) $(GEN_OBJS)

.PHONY: all
all: $(B)/muster $(B)/muster-face

$(B)/muster: $(APP_OBJS) $(GEN_OBJS)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(B)/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/gen/%.o: $(B)/gen/%.c
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/gen/%.o: $(B)/gen/%.S
	$(CC) -c -o $@ $<

include face/face.mk

# --- embedded files ---------------------------------------------------------------------------------------------------------
$(B)/gen/migrations.c: tools/embed-sql.sh $(wildcard sql/*.sql)
	@mkdir -p $(@D)
	sh tools/embed-sql.sh sql >$@.new && mv $@.new $@

# Assets: the password list, the documentation pages and the web app, each with a gzip twin.
include web/assets.mk

# --- one layer alone, and tests of a layer: tests/unit/<layer>_<topic>.c links the layers up to its own ----------------------
objs-%:
	@$(MAKE) --no-print-directory nothing $(call obj_of,$*)
.PHONY: nothing
nothing:
	@:

UNIT := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/*.c)))
below_core := core
below_store := core store
below_net := core net
below_http := core http
below_audit := core store audit
below_notify := core store net http audit notify
below_identity := core store net http audit notify identity
below_attendance := $(below_identity) attendance
below_api := $(below_attendance) api jobs cli
test_objs = $(if $(filter api,$(1)),$(LIB_OBJS),$(foreach l,$(below_$(1)),$(call obj_of,$(l))) \
	$(if $(filter-out core net http,$(1)),$(GEN_OBJS)) $(if $(filter core,$(1)),$(B)/gen/assets.o))

SUPPORT_OBJS := $(patsubst tests/%.c,$(B)/tests/%.o,$(sort $(wildcard tests/*.c)))

define unit_rule
$(B)/tests/$(1): $(B)/tests/unit/$(1).o $(call test_objs,$(firstword $(subst _, ,$(1)))) $(if $(filter core store net http,$(firstword $(subst _, ,$(1)))),,$(SUPPORT_OBJS))
	$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(ALL_LIBS) -lcmocka
endef
$(foreach t,$(UNIT),$(eval $(call unit_rule,$(t))))

$(B)/tests/unit/%.o: tests/unit/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -c -o $@ $<
$(B)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -c -o $@ $<

-include $(APP_OBJS:.o=.d) $(patsubst %,$(B)/tests/unit/%.d,$(UNIT)) $(SUPPORT_OBJS:.o=.d)

include tests/tests.mk
include bench/bench.mk

include deploy/deploy.mk

.PHONY: clean
clean:
	rm -rf $(B)
