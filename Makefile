# Every target hands over to cargo, to xtask or to a script in ci/ that can be run by itself.

PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo

.PHONY: all demo test check bench bench-quick bench-check install dist clean

all:              ## build the libraries
	$(CARGO) build --release

demo:             ## build everything, run wordcount in four languages and a million goroutines
	examples/demo.sh

test:             ## everything that runs on each push
	ci/run.sh

check:            ## format, lints, documentation, layers, header
	ci/check.sh

bench:            ## all workloads beside the peers; writes docs/performance.md (ARGS=--resume goes on after an interruption)
	benches/run.sh $(ARGS)

bench-quick:      ## the same in under five minutes, prints its table
	benches/run.sh --quick $(ARGS)

bench-check:      ## instruction counts of the inner loops against the checked-in figures
	ci/bench-check.sh

install:          ## header, wrapper, libraries, pkg-config and CMake files below $(DESTDIR)$(PREFIX)
	$(CARGO) xtask install --prefix "$(PREFIX)" --destdir "$(DESTDIR)"

dist:             ## source archive of the committed tree below dist/
	$(CARGO) xtask dist

clean:            ## remove what the other targets made
	$(CARGO) clean
	rm -rf .venv dist
