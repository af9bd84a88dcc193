# SPDX-License-Identifier: GPL-3.0-or-later
# Longhaul: `make help` lists the targets. Objects go to build/<variant>/, never beside sources.

CC         ?= gcc
CLANG      ?= clang
VARIANT    ?= release
PREFIX     ?= /usr/local
DESTDIR    ?=
PYTEST     := /usr/bin/python3 -B -m pytest
PKGS       := jansson inih liburcu liburcu-cds libnl-3.0 libnl-route-3.0 libssl libcrypto libcap-ng libpcap
# Optional, x86 only; it has no pkg-config file.
IPSEC_MB   := $(wildcard $(addsuffix /intel-ipsec-mb.h,/usr/include /usr/local/include))

O          := build/$(VARIANT)
FOLDERS    := lib frob accel shaper capture tunnel
SOURCES    := $(sort $(foreach d,$(FOLDERS),$(wildcard $(d)/*.c)))
HEADERS    := $(sort $(foreach d,$(FOLDERS),$(wildcard $(d)/*.h)))
UNIT       := $(sort $(wildcard tests/unit/test_*.c))
FUZZ       := $(sort $(wildcard tests/fuzz/fuzz_*.c))
TOOLS      := $(sort $(wildcard tests/tools/*.c))

VERSION    := $(shell cat VERSION)
WARN        = -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla \
              -Wpointer-arith -Wwrite-strings -Wno-unused-parameter \
              $(WARN_CC)
# Truncation is what snprintf() is for here; clang has no such warning.
WARN_CC     = $(if $(findstring clang,$(CC)),,-Wno-format-truncation)
CPPFLAGS   += -I. -D_GNU_SOURCE -DLONGHAUL_VERSION='"$(VERSION)"' $(if $(IPSEC_MB),-DHAVE_IPSEC_MB)
CFLAGS     ?= -O2 -g
CFLAGS_ALL  = -std=gnu11 $(WARN) $(CFLAGS) -fno-strict-aliasing -fstack-protector-strong -pthread $(PKG_CFLAGS) $(SANITIZE)
# libnet has no pkg-config file either.
LDLIBS_ALL  = $(PKG_LIBS) -lnet $(if $(IPSEC_MB),-lIPSec_MB) -lm -lpthread $(LDLIBS)

ifeq ($(VARIANT),asan)
SANITIZE   := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS     := -O1 -g
else ifeq ($(VARIANT),tsan)
SANITIZE   := -fsanitize=thread -fno-omit-frame-pointer
CPPFLAGS   += -include tests/tsan_rcu.h
CFLAGS     := -O1 -g
else ifeq ($(VARIANT),clang)
CC         := $(CLANG)
else ifeq ($(VARIANT),fuzz)
CC         := $(CLANG)
SANITIZE   := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS     := -O1 -g
else ifeq ($(VARIANT),coverage)
CC         := $(CLANG)
SANITIZE   := -fprofile-instr-generate -fcoverage-mapping
CFLAGS     := -O0 -g
endif

# What a packet of a capture goes through is split over files by what they do, and compiled as one.
# Tests and fuzzers are linked with what each file was compiled to by itself.
ifeq ($(VARIANT)$(findstring clang,$(CC)),release)
LTO        := -flto=auto
NO_LTO     := -fno-lto
# Two words written side by side are not made one vector: who reads one of them soon would wait.
$(O)/capture/%.o: CFLAGS_FILE := -flto -ffat-lto-objects -fno-tree-slp-vectorize
endif

# pkg-config runs only when something is compiled, so that `make help` and `make deps` need nothing.
PKG_CFLAGS  = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS    = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)

ifeq ($(V),1)
Q          :=
say         = @:
else
Q          := @
say         = @printf '  %-7s %s\n' $(1) $(2)
endif

OBJECTS    := $(SOURCES:%.c=$(O)/%.o)
MAIN       := $(O)/tunnel/main.o
LIBRARY    := $(O)/liblonghaul.a
UNIT_BINS  := $(UNIT:%.c=$(O)/%)
FUZZ_BINS  := $(FUZZ:%.c=$(O)/%)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all build/longhaul help deps check check-full check-unit check-e2e tools lint format fuzz fuzz-build fuzz-coverage demo bench-diagnose bench-tunnel bench-shaper bench-mtu bench-accel install uninstall clean unit-bins

all: build/longhaul ## build build/longhaul (the default)

# Whichever variant is younger: what was made last is what it leads to.
build/longhaul: $(O)/longhaul
	$(Q)[ "$$(readlink $@)" = $(VARIANT)/longhaul ] || ln -sf $(VARIANT)/longhaul $@

$(O)/longhaul: $(MAIN) $(LIBRARY)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LTO) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL)

$(LIBRARY): $(filter-out $(MAIN),$(OBJECTS))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/%.o: %.c Makefile VERSION
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(CFLAGS_FILE) -MMD -MP -c -o $@ $<

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(LIBRARY)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(NO_LTO) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS_ALL)

$(O)/tests/fuzz/%: $(O)/tests/fuzz/%.o $(LIBRARY)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS_ALL) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL)

# Programs that only the tests use.
build/tools/%: $(O)/tests/tools/%.o $(LIBRARY)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(NO_LTO) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL)

tools: $(TOOLS:tests/tools/%.c=build/tools/%)
unit-bins: $(UNIT_BINS)
fuzz-build: $(FUZZ_BINS)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what is missing (Debian packages, as root)
	$(Q)scripts/install-deps

# Without a -j of the caller's, as many jobs as there are processors.
EACH_CPU    = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
check: deps ## all tests: unit (plain, ASan+UBSan), end to end in network namespaces
	$(Q)$(MAKE) $(EACH_CPU) --no-print-directory all
	$(Q)$(MAKE) $(EACH_CPU) --no-print-directory check-unit
	$(Q)$(MAKE) $(EACH_CPU) --no-print-directory VARIANT=asan check-unit
	$(Q)$(MAKE) $(EACH_CPU) --no-print-directory VARIANT=clang $(O:$(VARIANT)=clang)/longhaul
	$(Q)$(MAKE) --no-print-directory check-e2e

check-unit: $(UNIT_BINS) ## the unit tests of one VARIANT (release, asan, tsan, clang)
	$(Q)for t in $(UNIT_BINS); do out=$$($$t 2>&1) || { printf '%s\n' "$$out"; echo "FAILED $$t"; exit 1; }; \
		printf '%s\n' "$$out" | grep -E 'PASSED' | tail -n 1 | sed "s|^|$$(basename $$t): |"; done

# So many at the same time; auto is two a processor, because they mostly wait.
E2E_JOBS   ?= auto
check-e2e: build/longhaul tools ## the end-to-end tests (root; namespaces of their own), E2E_JOBS (auto) at the same time
	$(Q)LONGHAUL=$(CURDIR)/build/longhaul $(PYTEST) -q -p no:cacheprovider -n $(E2E_JOBS) --dist loadgroup tests/e2e $(PYTEST_ARGS)

# Under a sanitizer a test may take longer than pytest.ini allows.
SLOWER     := PYTEST_TIMEOUT=600
check-full: deps ## check, then end to end under ASan and TSan, long properties, coverage of the seeds, five minutes of each fuzzer
	$(Q)$(MAKE) --no-print-directory check
	$(Q)TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp $(MAKE) --no-print-directory VARIANT=tsan check-unit
	$(Q)$(MAKE) --no-print-directory VARIANT=asan build/asan/longhaul
	$(Q)$(MAKE) --no-print-directory VARIANT=tsan build/tsan/longhaul
	$(Q)$(MAKE) --no-print-directory check-e2e E2E_JOBS=0 PYTEST_ARGS='-m full $(PYTEST_ARGS)'
	$(Q)$(SLOWER) LONGHAUL=$(CURDIR)/build/asan/longhaul $(PYTEST) -q -p no:cacheprovider tests/e2e $(PYTEST_ARGS)
	$(Q)$(SLOWER) LONGHAUL=$(CURDIR)/build/tsan/longhaul TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp \
		$(PYTEST) -q -p no:cacheprovider tests/e2e $(PYTEST_ARGS)
	$(Q)$(MAKE) --no-print-directory fuzz-coverage
	$(Q)$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=300

FUZZ_SECONDS ?= 30
fuzz: ## run each fuzz target FUZZ_SECONDS (30) from its seed corpus
	$(Q)$(MAKE) --no-print-directory VARIANT=fuzz fuzz-build
	$(Q)scripts/run-fuzzers build/fuzz/tests/fuzz $(FUZZ_SECONDS)

# Which lines of the parsers of hostile input the committed seeds reach, by themselves.
COVERED    := fragment:tunnel/fragment.c
fuzz-coverage: ## lines that the committed seeds reach: at least 90 % of each file in COVERED
	$(Q)$(MAKE) --no-print-directory VARIANT=coverage $(foreach c,$(COVERED),build/coverage/tests/fuzz/fuzz_$(firstword $(subst :, ,$(c))))
	$(Q)scripts/fuzz-coverage 90 $(COVERED)

lint: ## formatting, cppcheck, shellcheck, Python syntax
	$(Q)scripts/lint

format: ## rewrite the C sources in the house's format
	$(Q)clang-format -i $$(git ls-files -co --exclude-standard '*.c' '*.h')

demo: deps ## two sites, real traffic, the handshake before and after the frobber, and one transfer four ways over 120 ms
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/demo

bench-diagnose: deps ## diagnosis against real TCP of known limits, tcptrace and tshark, into results/ (root, an idle machine, 11 minutes; BENCH_ARGS=--quick)
	$(Q)scripts/install-deps --bench
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/bench-diagnose $(BENCH_ARGS)

bench-tunnel: deps ## the tunnel beside its peers, into results/ (root, an idle machine, 12 minutes; BENCH_ARGS=--quick)
	$(Q)scripts/install-deps --bench
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/bench-tunnel $(BENCH_ARGS)

bench-shaper: deps ## the delay line against what it promises, into results/ (root, an idle machine, 12 minutes; BENCH_ARGS=--quick)
	$(Q)$(MAKE) --no-print-directory all tools
	$(Q)scripts/bench-shaper $(BENCH_ARGS)

bench-mtu: deps ## frames that the path does not carry whole, into results/ (root, an idle machine, 4 minutes; BENCH_ARGS=--quick)
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/bench-mtu $(BENCH_ARGS)

bench-accel: deps ## split TCP over 120 ms against what it promises, into results/ (root, an idle machine, 20 minutes; BENCH_ARGS=--quick)
	$(Q)$(MAKE) --no-print-directory all tools
	$(Q)scripts/bench-accel $(BENCH_ARGS)

install: all ## install the program, man pages and the systemd unit below PREFIX (/usr/local)
	$(Q)install -D -m 755 build/longhaul $(DESTDIR)$(PREFIX)/bin/longhaul
	$(Q)for m in doc/man/*.[158]; do install -D -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}; done
	$(Q)sed 's|@PREFIX@|$(PREFIX)|' tunnel/longhaul-tunnel@.service.in | install -D -m 644 /dev/stdin \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/longhaul-tunnel@.service

uninstall: ## remove what install put there
	$(Q)rm -f $(DESTDIR)$(PREFIX)/bin/longhaul $(DESTDIR)$(PREFIX)/lib/systemd/system/longhaul-tunnel@.service
	$(Q)for m in doc/man/*.[158]; do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}; done

clean: ## remove build/
	$(Q)rm -rf build

-include $(OBJECTS:.o=.d) $(UNIT:%.c=$(O)/%.d) $(FUZZ:%.c=$(O)/%.d) $(TOOLS:%.c=$(O)/%.d)
