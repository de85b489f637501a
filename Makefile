# SPDX-License-Identifier: GPL-2.0-only
# The top level of twostage; "make help" tells the targets. The module itself is described in Kbuild.

# Kbuild cannot build in such a path, and neither can dpkg-buildpackage.
ifneq ($(words $(subst :, ,$(CURDIR))),1)
$(error "$(CURDIR)" has a blank or a colon in its path, \
	in which the kernel's build system does not work: use another directory)
endif

# Which of Debian's kernels, as scripts/kernel takes them, for targets that fetch and boot them; empty stands
# for all that are checked.
KERNEL ?=
CHECK_KERNELS := 6.1 6.12
# A kernel that finds mistakes, see scripts/debug-kernel
DEBUG_KERNELS := 6.12-debug
# Whole systems in which it is installed by its packages and used
SYSTEMS ?= bookworm trixie
KERNELS := $(or $(KERNEL),$(CHECK_KERNELS))

# How long make check-all stresses each kernel
STRESS_SECONDS ?= 60
# Where it puts its table of results: a file, or docs/testing.md, which has a place for it
TABLE ?= build/results.md

# How long make soak runs
MINUTES ?= 60

# What make bench measures with (PART: one of scripts/bench --help, or all), and where its plots go
BENCH_KERNEL := 6.12
# bookworm's crash is from before 6.12
CRASH_KERNEL := 6.1
PART ?=
PLOTS ?= docs/bench

# Where the headers are, for targets that build for the kernel that is running
KDIR ?= /lib/modules/$(shell uname -r)/build
# A kernel built by clang needs modules built by clang and its tools.
LLVM ?= $(if $(shell grep -s '^CONFIG_CC_IS_CLANG=y' \
	"$(KDIR)/.config" "$(KDIR)/include/config/auto.conf"),1)

# Where "make install" puts the command. Scripts get these from the environment,
# so that a blank in them does no harm.
PREFIX ?= /usr/local
export DESTDIR PREFIX
# For which kernel to build at once, if not the one that is running
DKMS_KERNEL ?=

.PHONY: all help modules cli harness guest-modules setup lint check check-all check-systems check-debug check-crash \
	soak bench demo install uninstall dkms-source dkms-install dkms-remove deb clean distclean

all: modules cli

help:
	@echo 'Use it:'
	@echo '  make              the module for the running kernel (or KDIR=headers) and the command'
	@echo '  make demo         see it work, in guests (fetches what it needs)'
	@echo '  make install      the command, the man pages and its completion, to PREFIX=$(PREFIX)'
	@echo '  make dkms-install the module, by DKMS, for every kernel that gets installed'
	@echo '  make uninstall, make dkms-remove'
	@echo '  make deb          the same as Debian packages, in build/deb/'
	@echo 'Work on it:'
	@echo '  make check        build and test on $(CHECK_KERNELS), or KERNEL=SERIES only'
	@echo '  make check-all    the same on all kernels of scripts/kernel --list, and what takes longer on those two;'
	@echo '                    TABLE=docs/testing.md puts the results there, STRESS_SECONDS=$(STRESS_SECONDS)'
	@echo '  make check-systems   whole Debian systems with the packages installed (as root)'
	@echo '  make check-debug  the same on a kernel that finds mistakes, built once, and lets every allocation fail'
	@echo '  make soak         all providers at once under memory pressure, for MINUTES=$(MINUTES), on KERNEL=6.12'
	@echo '  make check-crash  a dump of a crashed guest, read by crash (fetches 1 GB of debugging symbols a kernel)'
	@echo '  make bench        what it costs and how long things take, beside the stock kernel; PART=cost for'
	@echo '                    one part (scripts/bench --help), plots go to PLOTS=$(PLOTS)'
	@echo '  make lint         static checks: of scripts, C, the man pages (scripts/lint --list); a few minutes, and'
	@echo '                    make check runs the quick ones'
	@echo '  make guest-modules [KERNEL=SERIES]   the module for Debian kernels, fetched, in build/'
	@echo '  make clean        what was built;  make distclean  also what was fetched'

modules:
ifneq ($(words $(subst :, ,$(KDIR))),1)
	$(error KDIR="$(KDIR)" has a blank or a colon, with which Kbuild does not work)
endif
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(addprefix LLVM=,$(LLVM)) modules

cli:
	$(MAKE) -C src/cli

harness:
	$(MAKE) -C tests/harness

guest-modules:
	scripts/build-modules $(KERNELS)

setup:
	@scripts/setup

lint:
	@scripts/setup --lint
	@scripts/lint

check: setup
	@tests/run --self-test --lint --build --cli --packaging $(addprefix --kernel ,$(KERNELS))

check-all: setup
	@STRESS_SECONDS=$(STRESS_SECONDS) tests/run --self-test --lint --build --cli --packaging --table "$(TABLE)" \
		$(addprefix --long ,$(KERNELS)) $(if $(KERNEL),$(addprefix --kernel ,$(KERNEL)),--all-kernels)

check-systems:
	@scripts/setup --systems
	@tests/run $(addprefix --system ,$(SYSTEMS))

# All of it is slower there by a factor.
check-debug: setup
	@STRESS_SECONDS=240 tests/run --build $(foreach kernel,$(DEBUG_KERNELS),--kernel $(kernel) --long $(kernel))

soak: setup
	@scripts/soak --minutes $(MINUTES) $(KERNEL)

check-crash: setup
	@tests/run --only kdump-crash $(addprefix --kernel ,$(or $(KERNEL),$(CRASH_KERNEL)))

bench:
	@scripts/setup --bench
	@scripts/bench $(addprefix --only ,$(PART)) --plots "$(PLOTS)" $(or $(KERNEL),$(BENCH_KERNEL))

demo: setup
	@scripts/demo $(KERNEL)

install: cli
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

# Not by kbuild's own clean: it would take the modules of the kernels in .cache/
# for what was built here. A branch may have a name like "fix.o", and git a file
# of that name.
clean:
	rm -rf build
	find . \( -path ./.cache -o -path ./.git \) -prune -o -type f \
		\( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name '.*.d' -o -name Module.symvers -o -name modules.order \) -exec rm -f {} +

distclean: clean
	rm -rf .cache
