# SPDX-License-Identifier: GPL-2.0-only
# The top level of twostage; "make help" tells the targets. The module itself is described in Kbuild.

# Which of Debian's kernels, for targets that fetch and boot them; empty stands for all that are checked.
KERNEL ?=
CHECK_KERNELS := 6.1 6.12
KERNELS := $(or $(KERNEL),$(CHECK_KERNELS))

# Where the headers are, for targets that build for the kernel that is running
KDIR ?= /lib/modules/$(shell uname -r)/build

PREFIX ?= /usr/local
VERSION := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
DKMS_SOURCE := $(DESTDIR)/usr/src/twostage-$(VERSION)
# What goes to DKMS: the module's sources, and nothing that is not needed to build it
DKMS_FILES := Kbuild dkms.conf LICENSE include src

.PHONY: all help modules cli harness guest-modules setup lint check check-all demo install uninstall \
	dkms-install dkms-remove clean distclean

all: modules cli

help:
	@echo 'Use it:'
	@echo '  make              the module for the running kernel (or KDIR=headers) and the command'
	@echo '  make demo         see it work, in guests (fetches what it needs)'
	@echo '  make install      the command, its man page and completion, to PREFIX=$(PREFIX)'
	@echo '  make dkms-install the module, by DKMS, for every kernel that gets installed'
	@echo '  make uninstall, make dkms-remove'
	@echo 'Work on it:'
	@echo '  make check        build and test on $(CHECK_KERNELS), or KERNEL=SERIES only'
	@echo '  make check-all    the same, and what takes longer'
	@echo '  make lint         static checks of scripts and C'
	@echo '  make guest-modules [KERNEL=SERIES]   the module for Debian kernels, fetched, in build/'
	@echo '  make clean        what was built;  make distclean  also what was fetched'

modules:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

cli:
	$(MAKE) -C src/cli

harness:
	$(MAKE) -C tests/harness

guest-modules:
	scripts/build-modules $(KERNELS)

setup:
	@scripts/setup

lint: setup
	shellcheck -x $(wildcard scripts/*) .ci/run src/cli/twostage.bash

check: setup
	@tests/run --self-test --lint --build --cli $(addprefix --kernel ,$(KERNELS))

check-all: setup
	@STRESS_SECONDS=600 tests/run --self-test --lint --build --cli --long $(addprefix --kernel ,$(KERNELS))

demo: setup
	@scripts/demo $(KERNEL)

install: cli
	install -D -m 0755 build/twostage $(DESTDIR)$(PREFIX)/sbin/twostage
	install -D -m 0644 src/cli/twostage.8 $(DESTDIR)$(PREFIX)/share/man/man8/twostage.8
	install -D -m 0644 src/cli/twostage.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/twostage

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/twostage $(DESTDIR)$(PREFIX)/share/man/man8/twostage.8 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/twostage

dkms-install:
	@command -v dkms >/dev/null || { echo 'dkms is missing: apt-get install dkms linux-headers-amd64' >&2; exit 1; }
	mkdir -p $(DKMS_SOURCE)
	cp -r $(DKMS_FILES) $(DKMS_SOURCE)/
	dkms add -m twostage -v $(VERSION)
	dkms install -m twostage -v $(VERSION)

dkms-remove:
	dkms remove -m twostage -v $(VERSION) --all
	rm -rf $(DKMS_SOURCE)

clean:
	rm -rf build
	if [ -e $(KDIR)/Makefile ]; then $(MAKE) -C $(KDIR) M=$(CURDIR) clean; fi

distclean: clean
	rm -rf .cache
