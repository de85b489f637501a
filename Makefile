# SPDX-License-Identifier: GPL-2.0-only
# The top level of twostage; "make help" lists the targets. Kbuild describes the
# module.

# Kbuild cannot build in such a path, and neither can dpkg-buildpackage.
ifneq ($(words $(subst :, ,$(CURDIR))),1)
$(error "$(CURDIR)" has a blank or a colon in its path, \
	in which the kernel's build system does not work: use another directory)
endif

# The kernel that targets fetch and boot, a series of scripts/kernel; empty for
# the default of the target
KERNEL ?=
CHECK_KERNELS := 6.1 6.12
# Kernels of other architectures, on which make check runs the essential
# scenarios; make check-others runs only those
CHECK_OTHERS ?= 6.12-arm64 sid-s390x
# A kernel with debugging options, see scripts/debug-kernel
DEBUG_KERNELS := 6.12-debug
# A kernel that finds data races, and the scenarios in which tasks use the module
# side by side
RACE_KERNEL := 6.12-race
RACE_SCENARIOS := races basic stress virtio-mem virtio-mem-many dimm oom large-blocks
# Debian suites of the systems that make check-systems tests
SYSTEMS ?= bookworm trixie
KERNELS := $(or $(KERNEL),$(CHECK_KERNELS))

# Guests, builds and tests on the host at a time in make check and make
# check-all: three per two CPUs, since those of a guest idle for half of the time
# (the module waits when it is loaded and unloaded, and for devices)
JOBS ?= $(shell cpus=$$(nproc); echo $$((cpus + cpus / 2)))

# How long the scenario stress runs in make check, and in make check-all
CHECK_STRESS_SECONDS := 20
STRESS_SECONDS ?= 60
# Where it puts its tables of results: a file, or docs/testing.md, which has a
# place for it
TABLE ?= build/results.md

# Duration of make soak
MINUTES ?= 60

# The kernels and the part (of scripts/bench --help; default: all) of make bench,
# and the directory for its plots
BENCH_KERNELS := 6.12 $(CHECK_OTHERS)
# bookworm's crash is older than 6.12, and cannot read its dumps.
CRASH_KERNEL := 6.1
PART ?=
PLOTS ?= docs/bench

# The headers of the kernel to build the module for (default: the running
# kernel)
KDIR ?= /lib/modules/$(shell uname -r)/build
# A kernel built by clang needs modules built by clang and its tools.
LLVM ?= $(if $(shell grep -s '^CONFIG_CC_IS_CLANG=y' \
	"$(KDIR)/.config" "$(KDIR)/include/config/auto.conf"),1)

# The prefix of "make install". Scripts get these from the environment, so that
# they may have blanks in them.
PREFIX ?= /usr/local
export DESTDIR PREFIX
# The kernel for which make dkms-install builds (default: the running kernel)
DKMS_KERNEL ?=

.PHONY: all help modules cli daemon harness daemon-tests guest-modules setup setup-guests lint unit check check-others check-all check-systems check-debug check-race check-crash \
	soak bench demo install uninstall dkms-source dkms-install dkms-remove deb clean distclean

all: modules cli daemon

help:
	@echo 'Use it:'
	@echo '  make              build the module for the running kernel (or KDIR=headers), the command and the daemon'
	@echo '  make demo         show what it does, in guests (fetches kernels and packages)'
	@echo '  make install      install command and daemon, man pages and completion in PREFIX=$(PREFIX)'
	@echo '  make dkms-install install the module by DKMS, for this and each later kernel'
	@echo '  make uninstall, make dkms-remove   the reverse'
	@echo '  make deb          build Debian packages of both, in build/deb/'
	@echo 'Work on it:'
	@echo '  make check        build and test on $(CHECK_KERNELS), in part on $(CHECK_OTHERS), or on KERNEL=SERIES only'
	@echo '  make check-others   only the part on $(CHECK_OTHERS)'
	@echo '  make check-all    the same on all kernels of scripts/kernel --list, with the long scenarios on those two;'
	@echo '                    TABLE=docs/testing.md puts the results there, STRESS_SECONDS=$(STRESS_SECONDS)'
	@echo '  make check-systems   test whole Debian systems with the packages installed (as root)'
	@echo '  make check-debug  test on a kernel with debugging options, built once, on which every allocation fails once'
	@echo '  make check-race   test on a kernel that finds data races of the module, built once'
	@echo '  make soak         test all providers side by side under memory pressure, for MINUTES=$(MINUTES), on KERNEL=6.12'
	@echo '  make check-crash  test that crash reads the dump of a guest (fetches 1 GB of debugging symbols per kernel)'
	@echo '  make bench        measure memory and time, beside the stock kernel; PART=cost for one part'
	@echo '                    (scripts/bench --help), plots go to PLOTS=$(PLOTS)'
	@echo '  make unit         test files of the module that do not need a kernel, in a second or two'
	@echo '  make lint         static checks of scripts, C and the man pages (scripts/lint --list), a few minutes;'
	@echo '                    make check runs the quick ones'
	@echo '  make guest-modules [KERNEL=SERIES]   build the module for Debian kernels, fetched, in build/'
	@echo '  make clean        remove what was built;  make distclean  also what was fetched'

modules:
ifneq ($(words $(subst :, ,$(KDIR))),1)
	$(error KDIR="$(KDIR)" has a blank or a colon, with which Kbuild does not work)
endif
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(addprefix LLVM=,$(LLVM)) modules

cli:
	$(MAKE) -C src/cli

daemon:
	$(MAKE) -C src/daemon

harness:
	$(MAKE) -C tests/harness

# Programs that test parts of the daemon
daemon-tests:
	$(MAKE) -C tests/daemon

guest-modules:
	scripts/build-modules $(KERNELS)

setup:
	@scripts/setup

# Also what guests of other architectures need
setup-guests:
	@scripts/setup --guests

lint:
	@scripts/setup --lint
	@scripts/lint

unit:
	@$(MAKE) -s -C tests/unit

check: OTHERS := $(if $(KERNEL),,$(CHECK_OTHERS))
check: $(if $(filter %-arm64 %-s390x,$(or $(KERNEL),$(CHECK_OTHERS))),setup-guests,setup)
	@STRESS_SECONDS=$(CHECK_STRESS_SECONDS) tests/run --jobs $(JOBS) --self-test --lint --build --cli --unit \
		--packaging --once $(addprefix --kernel ,$(KERNELS)) $(addprefix --essential ,$(OTHERS))

check-others: setup-guests
	@tests/run --jobs $(JOBS) --build $(addprefix --essential ,$(CHECK_OTHERS))

check-all: setup-guests
	@STRESS_SECONDS=$(STRESS_SECONDS) tests/run --jobs $(JOBS) --self-test --lint --build --cli --unit \
		--packaging --table "$(TABLE)" \
		$(addprefix --long ,$(KERNELS)) $(if $(KERNEL),$(addprefix --kernel ,$(KERNEL)),--all-kernels)

check-systems:
	@scripts/setup --systems
	@tests/run $(addprefix --system ,$(SYSTEMS))

# Tests take several times as long there.
check-debug: setup
	@STRESS_SECONDS=240 tests/run --build $(foreach kernel,$(DEBUG_KERNELS),--kernel $(kernel) --long $(kernel))

check-race: setup
	@STRESS_SECONDS=240 tests/run --build --kernel $(RACE_KERNEL) $(addprefix --only ,$(RACE_SCENARIOS))

soak: setup
	@scripts/soak --minutes $(MINUTES) $(KERNEL)

check-crash: setup
	@tests/run --only kdump-crash $(addprefix --kernel ,$(or $(KERNEL),$(CRASH_KERNEL)))

bench:
	@scripts/setup --bench $(if $(filter %-arm64 %-s390x,$(or $(KERNEL),$(BENCH_KERNELS))),--guests)
	@scripts/bench $(addprefix --only ,$(PART)) --plots "$(PLOTS)" $(or $(KERNEL),$(BENCH_KERNELS))

demo: setup
	@scripts/demo $(KERNEL)

install: cli daemon
	@scripts/install

uninstall:
	@scripts/install --uninstall

dkms-source:
	@scripts/dkms source

dkms-install:
	@scripts/dkms install "$(DKMS_KERNEL)"

dkms-remove:
	@scripts/dkms remove

deb:
	@scripts/deb

# Not by kbuild's clean, which would also remove the modules of the kernels in
# .cache/. Not in .git: a branch may have a name like "fix.o".
clean:
	rm -rf build
	find . \( -path ./.cache -o -path ./.git \) -prune -o -type f \
		\( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name '.*.d' -o -name Module.symvers -o -name modules.order \) -exec rm -f {} +

distclean: clean
	rm -rf .cache
