# SPDX-License-Identifier: GPL-2.0-only
# The front door. Behind each target is a script of scripts/ or bench/, or what it takes
# is here; see CONTRIBUTING.md.

CONFIG ?= release
B := $(CURDIR)/build
MAKEFLAGS += --no-print-directory -r

# TREE=<dir> builds somebody else's Linux tree, in a directory of its own.
ifdef TREE
src-of = $(TREE)
out-of = $(B)/kernel-$1-$(notdir $(abspath $(TREE)))
else
src-of = $(if $(filter stock %-stock,$1),$(B)/source/linux,$(if $(filter zap,$1),$(B)/zap/linux,$(B)/linux))
out-of = $(B)/kernel-$1
endif
image-of = $(call out-of,$1)/arch/x86/boot/bzImage

.DEFAULT_GOAL := help
.PHONY: zap-tree help run test test-all soak unit kernel image shell tree save mail check cross bisect mutants deps source clean machine demo fragmentation atomic-load kvm-selftests selftests secret-programs bench bench-quick bench-off results pictures \
	deb deb-deps deb-test

help:
	@echo 'make run                   everything from nothing, then the demonstration'
	@echo 'make test                  everything from nothing: the machines of vm/tests.list and their tests'
	@echo '                           (ROWS="release-* rt": only these rows)'
	@echo 'make test-all              the machines of vm/tests-all.list, too: hours'
	@echo 'make soak                  load with failures, 10^6 random operations, stress-ng: debug, kasan (hours)'
	@echo 'make unit                  files of the kernel that decide, compiled in user space, and dmapstat on samples: seconds'
	@echo 'make kernel CONFIG=...     one kernel of those below'
	@echo 'make -s image CONFIG=...   print the path of its bzImage'
	@echo 'make shell CONFIG=...      a shell in the test machine, with the tools in it'
	@echo 'make tree                  build/linux: a git tree of Linux with the series applied'
	@echo 'make save                  write that tree back to patches/ and linux/'
	@echo 'make mail OUT=DIR          the series as anybody can git am it, with its cover letter'
	@echo '                           (build/mail unless said; OPTIONS="--version 2": scripts/mail.sh --help)'
	@echo 'make check                 the series: applies, git am, checkpatch, sizes, sparse, coccicheck, overlay'
	@echo '                           (OPTIONS=--all: coccicheck of the files of Linux that are changed, too)'
	@echo 'make cross                 what the series touches, compiled for machines that are not booted:'
	@echo '                           clang, i386, arm64, riscv64, allnoconfig (OPTIONS="clang": one of them)'
	@echo 'make bisect                every commit of the series builds and boots (long)'
	@echo 'make mutants               the kernel broken on purpose, for each file of vm/mutants, and a test that fails'
	@echo '                           (long; OPTIONS="window-*": only these)'
	@echo 'make kvm-selftests         Linux'"'"'s KVM selftests, beside stock and off the direct map (hours;'
	@echo '                           OPTIONS="--docs": docs/kvm-selftests.md)'
	@echo 'make selftests             Linux'"'"'s own selftests of mm, x86 and memory-hotplug, and KUnit'"'"'s suites of'
	@echo '                           mm and lib, beside stock (hours; OPTIONS="mm/cow": scripts/selftests.sh --help)'
	@echo 'make secret-programs       sqlite3, openssl, xz and python3 with their memory secret, on stock, too'
	@echo 'make fragmentation         a mixed load beside the stock kernel: what it does to memory'
	@echo '                           (OPTIONS="--quick --seed 7": bench/fragmentation --help)'
	@echo 'make atomic-load           GFP_ATOMIC requests while memory is secret, beside the stock kernel'
	@echo 'make bench                 figures beside the stock kernel, tables and plots: build/bench/results'
	@echo 'make bench-quick           what decides of it, in a few minutes'
	@echo '                           (OPTIONS="--only secret": bench/bench --help)'
	@echo 'make results               docs/results.md and its plots from the last make bench'
	@echo 'make bench-off             machine code with the feature not built in, beside stock'
	@echo 'make pictures              docs/dmap-*.svg: the direct map around 1 GiB of secret memory'
	@echo 'make deb                   Debian packages of the kernel and of dmapstat, in build/deb'
	@echo 'make deb-test              install them in a Debian system, boot that, remove them'
	@echo 'make deps                  install the Debian packages that are missing'
	@echo 'make source                get and unpack the pinned Linux source'
	@echo 'make clean                 remove what was built (the source and ccache stay)'
	@echo
	@echo 'CONFIG is release unless said. TREE=<dir> builds or saves another Linux tree. Kernels (configs/):'
	@awk 'function say() { \
			sub(/[.:]( .*)?$$/, "", text); \
			sub(/[?] .*/, "?", text); \
			if (name != "" && name != "base") printf "  %-9s %s\n", name, text; \
		} \
		FNR == 1 { say(); name = FILENAME; gsub(/.*\/|\.config$$/, "", name); text = ""; more = 1; next } \
		!/^# / { more = 0 } \
		more { text = text (text == "" ? "" : " ") substr($$0, 3) } \
		END { say() }' configs/*.config
	@echo '  stock     Linux without the series, with the configuration of release; NAME-stock: with that of NAME'

deps:
	@scripts/deps.sh

source: deps
	@scripts/source.sh

ifdef TREE
tree: deps
else
tree: source
	@scripts/tree.sh
endif

save:
	@TREE="$(TREE)" BASE="$(BASE)" scripts/save.sh

mail: tree
	@TREE="$(TREE)" BASE="$(BASE)" scripts/mail.sh $(OPTIONS) $(OUT)

# What zaps guest memory page by page: bench/zap
zap-tree: source
	@scripts/zap.sh

# stock needs no series, and must not be held up by one that does not apply.
kernel: $(if $(filter stock %-stock,$(CONFIG)),source,$(if $(filter zap,$(CONFIG)),zap-tree,tree))
	@scripts/kernel.sh $(CONFIG) $(call src-of,$(CONFIG)) $(call out-of,$(CONFIG))

image:
	@echo $(call image-of,$(CONFIG))

machine: kernel
	@scripts/initramfs.sh $(call src-of,$(CONFIG)) $(call out-of,$(CONFIG))

shell: machine
	@scripts/boot.sh $(call image-of,$(CONFIG)) $(call out-of,$(CONFIG))/initramfs.cpio.gz

test: tree
	@for k in $$(scripts/test.sh --kernels $(ROWS)); do $(MAKE) machine CONFIG=$$k || exit 1; done
	@scripts/test.sh $(ROWS)

test-all: tree
	@for k in $$(scripts/test.sh --all --kernels); do $(MAKE) machine CONFIG=$$k || exit 1; done
	@scripts/test.sh --all

soak:
	@scripts/deps.sh programs
	@$(MAKE) test ROWS="debug-soak* kasan-soak debug-fuzz"
	@scripts/stress.sh

unit: tree
	@$(MAKE) -C $(or $(TREE),$(B)/linux)/tools/testing/unmapped OUTPUT=$(B)/unit run
	@$(MAKE) -s -C tools/dmapstat O=$(B)/unit/dmapstat check

check: tree
	@scripts/check.sh $(OPTIONS)

cross: tree
	@scripts/deps.sh cross
	@scripts/cross.sh $(OPTIONS)

bisect: tree
	@scripts/bisect.sh

mutants: tree
	@scripts/mutants.sh $(OPTIONS)

kvm-selftests: tree
	@$(MAKE) machine CONFIG=kvm-stock
	@$(MAKE) machine CONFIG=kvm
	@scripts/kvm-selftests.sh $(OPTIONS)

selftests: tree
	@scripts/deps.sh selftests
	@for k in suites-stock suites; do $(MAKE) machine CONFIG=$$k || exit 1; done
	@scripts/selftests.sh $(OPTIONS)

secret-programs: tree
	@scripts/deps.sh programs
	@for k in stock release; do $(MAKE) machine CONFIG=$$k || exit 1; done
	@scripts/secret-programs.sh

# The demonstration compares the patched kernel with the stock one, both as
# distributions build them: with static keys.
run: tree
	@for k in keys keys-stock; do $(MAKE) machine CONFIG=$$k || exit 1; done
	@scripts/demo.sh

# Each is a script of bench/.
fragmentation atomic-load: tree
	@for k in release stock; do $(MAKE) machine CONFIG=$$k || exit 1; done
	@bench/$@ $(OPTIONS)

# What decides is counted with static keys; times are not: configs/keys.config.
bench: KERNELS_ = keys keys-stock release stock kmap zap
bench-quick: KERNELS_ = keys keys-stock
bench bench-quick: tree
	@for k in $(KERNELS_); do $(MAKE) machine CONFIG=$$k || exit 1; done
	@bench/bench $(if $(filter bench-quick,$@),--quick) $(OPTIONS)

results:
	@bench/bench --report --docs || test $$? -eq 1 # 1: a claim was missed, and it says so

# Needs stock's objects, to know what there can be; builds a few files of its own.
bench-off: tree
	@$(MAKE) kernel CONFIG=stock
	@bench/off

pictures: tree
	@for k in release stock; do $(MAKE) machine CONFIG=$$k || exit 1; done
	@scripts/pictures.sh

deb-deps:
	@scripts/deps.sh deb

deb: tree deb-deps
	@scripts/deb.sh $(call src-of,deb)

deb-test: deb
	@scripts/deb-test.sh

clean:
	@rm -rf $(B)/kernel-* $(B)/test $(B)/boot $(B)/zap $(B)/check $(B)/mail $(B)/unit $(B)/bisect $(B)/cross $(B)/demo $(B)/bench $(B)/pictures $(B)/tools $(B)/deb $(B)/htmldocs $(B)/kvm-selftests $(B)/selftests $(B)/secret-programs $(B)/stress
	@echo 'clean: build/linux, build/source and build/ccache stay; rm -rf build removes them, unsaved commits too'
