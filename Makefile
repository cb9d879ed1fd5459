# make demo      build, and see it work
# make test      everything (installs the servers and tools it needs into a cache folder)
# make check     the inner loop: what needs no etcd, Julia or Node
# make fuzz      a million damaged inputs for each parser, and calls of C functions for a minute
# make long      everything at full size; the figures go to target/long
# make bench     benches/README.md (TRANSPORT=--quick: the shorter way)
# make install   PREFIX=/usr/local DESTDIR=
CARGO   ?= cargo
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DESTDIR ?=

version := $(shell sed -n '/^\[workspace.package\]/,/^$$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
target  := $(or $(CARGO_TARGET_DIR),target)
built   := $(target)/release
soname  := libetcd.so.0
lib     := $(DESTDIR)$(LIBDIR)
pc      := $(lib)/pkgconfig/etcd-api.pc
share   := $(DESTDIR)$(PREFIX)/share
man     := $(share)/man/man1/etcd-api.1
bash    := $(share)/bash-completion/completions/etcd-api
zsh     := $(share)/zsh/site-functions/_etcd-api
fish    := $(share)/fish/vendor_completions.d/etcd-api.fish
installed := $(lib)/libetcd.so.$(version) $(lib)/$(soname) $(lib)/libetcd.so $(lib)/libetcd.a $(pc) \
             $(DESTDIR)$(PREFIX)/include/etcd-api.h $(DESTDIR)$(PREFIX)/bin/etcd-api \
             $(man) $(bash) $(zsh) $(fish)

.PHONY: all lib demo test check long bench fuzz header abi docs install uninstall clean

all: lib

lib:
	$(CARGO) build --release --workspace --exclude etcd-api-chaos --features etcd-api/lean
	ln -sf libetcd.so $(built)/$(soname)
	mkdir -p $(built)/completions
	$(built)/etcd-api generate man > $(built)/etcd-api.1
	$(built)/etcd-api generate bash > $(built)/completions/etcd-api.bash
	$(built)/etcd-api generate zsh > $(built)/completions/_etcd-api
	$(built)/etcd-api generate fish > $(built)/completions/etcd-api.fish

demo: lib
	examples/demo $(built)

test:
	tests/run --workspace

# Everything at full size, with its figures in target/long: takes two hours or so.
long:
	tests/long

bench: lib
	$(CARGO) bench --bench store --bench abi
	benches/transport/run $(TRANSPORT)

fuzz:
	fuzz/run 1000000 parsers
	fuzz/run 60s calls

check:
	tests/run --workspace -- --skip etcd --skip julia --skip node

# The header is generated at every build; this makes it the committed one.
header: lib
	cp "$$(ls -t $(built)/build/etcd-api-*/out/etcd-api.h | head -n 1)" include/etcd-api.h

# What binaries may rely on from now on, as abidiff reads it. What was released only grows.
abi:
	tests/abi/dump include/etcd-api.h > tests/abi/etcd-api.abi

# CONFIGURATION.md is the table of options in src/options.rs as a document.
docs: lib
	$(built)/etcd-api generate configuration > CONFIGURATION.md

# What is built already is installed as it is, so that root needs no cargo.
install:
	@test -e $(built)/libetcd.so || { echo "nothing is built yet: run 'make' first, then 'make install'"; exit 1; }
	install -d $(lib)/pkgconfig $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(built)/libetcd.so $(lib)/libetcd.so.$(version)
	ln -sf libetcd.so.$(version) $(lib)/$(soname)
	ln -sf $(soname) $(lib)/libetcd.so
	install -m 644 $(built)/libetcd.a $(lib)/libetcd.a
	install -m 644 include/etcd-api.h $(DESTDIR)$(PREFIX)/include/etcd-api.h
	install -m 755 $(built)/etcd-api $(DESTDIR)$(PREFIX)/bin/etcd-api
	install -D -m 644 $(built)/etcd-api.1 $(man)
	install -D -m 644 $(built)/completions/etcd-api.bash $(bash)
	install -D -m 644 $(built)/completions/_etcd-api $(zsh)
	install -D -m 644 $(built)/completions/etcd-api.fish $(fish)
	sed -e 's|@prefix@|$(PREFIX)|' -e 's|@libdir@|$(LIBDIR)|' -e 's|@version@|$(version)|' etcd-api.pc.in > $(pc)

uninstall:
	rm -f $(installed)

clean:
	$(CARGO) clean
