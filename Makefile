# make build   bin/deskstorm
# make check   the developer's loop: vet, staticcheck, tests that need no other program
# make test    everything: also the tests against real programs, the xk6 build with its smoke run, and xk6 lint
# make demo    a morning in a call centre, simulated, in 80 seconds
#
# Needs Go 1.26 and make. As root on Debian, make test installs what else it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:

# k6 and its extensions are compiled for one version: that of go.mod.
K6_VERSION = $(shell go list -m -f '{{.Version}}' go.k6.io/k6/v2)
MODULE = github.com/deskstorm/deskstorm

# A checkout without its .git, or one of another owner, must build too.
export GOFLAGS := $(shell go env GOFLAGS) -buildvcs=false

# Debian packages of the programs that tests run, and the race detector's C compiler.
PACKAGES = gcc libc6-dev binutils qemu-system-x86 postgresql rabbitmq-server slapd libvirt-daemon libvirt-daemon-driver-qemu \
	dnsmasq-base chromium prometheus openvswitch-switch openssl nftables openssh-server python3-venv victoria-metrics

# $(call step,NAME,COMMAND) runs a command and says how long it took.
step = @echo "--- $(1)"; begin=$$SECONDS; $(2); echo "--- $(1): $$((SECONDS - begin)) s"

.PHONY: build check test demo bench fuzz generate packages vet staticcheck test-short test-all xk6 lint clean

build:
	$(call step,build,go build -o bin/deskstorm ./cmd/deskstorm)

check: vet staticcheck test-short

# The parts of test are ordered by what they cost; make stops at the first that fails.
test: packages vet staticcheck test-all xk6 lint

demo: build
	bin/deskstorm demo

bench:
	$(call step,bench,go test -p 1 -run '^$$' -bench . -benchmem ./...)

FUZZTIME = 10s

fuzz:
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]*' "$$file" | while read -r _ target; do \
			echo "--- fuzz $$target in $$(dirname "$$file")"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$(dirname "$$file")"; \
		done; \
	done

generate:
	$(call step,generate,go generate ./...)

# The tests start the servers that they need; the installed services stay as they are (policy-rc.d, invoke-rc.d(8)).
packages:
	@missing=(); \
	for p in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' "$$p" 2>/dev/null | grep -q '^install ok installed$$' || missing+=("$$p"); \
	done; \
	if (($${#missing[@]} == 0)); then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
		echo "Not Debian: the tests need the programs of these packages: $${missing[*]}" >&2; exit 0; \
	fi; \
	if ((EUID != 0)); then \
		echo "Missing packages; as root: apt-get install $${missing[*]}" >&2; exit 1; \
	fi; \
	echo "--- packages $${missing[*]}"; \
	policy=/usr/sbin/policy-rc.d; \
	if [[ ! -e $$policy ]]; then \
		trap 'rm -f '$$policy EXIT; \
		printf '#!/bin/sh\nexit 101\n' > $$policy; chmod 755 $$policy; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq; \
	apt-get install -qq -y --no-install-recommends "$${missing[@]}"

vet:
	$(call step,vet,go vet ./...)

staticcheck: bin/staticcheck
	$(call step,staticcheck,bin/staticcheck ./...)

test-short:
	$(call step,test -short,go test -race -short ./...)

# Test binaries run one after another: those against real programs measure latencies and start virtual machines. What is held to a
# time of its own runs without the race detector, which makes it skip.
test-all:
	$(call step,compile with the race detector,go build -race ./...)
	$(call step,test of speed,go test -run TestADayOfALargeCloud ./lab/sim/physics)
	$(call step,test,DESKSTORM_REQUIRE_PROGRAMS=1 go test -race -p 1 -timeout 40m ./...)

# Without -trimpath and with cgo, as go build does it, xk6 finds k6 compiled already.
xk6: bin/xk6
	$(call step,xk6 build,bin/xk6 build $(K6_VERSION) --with $(MODULE)=. --cgo=1 --build-flags=-ldflags=-s --output bin/k6)
	bin/k6 version | grep -F 'k6/x/vdi'
	$(call step,xk6 smoke run,for script in $(SMOKE); do \
		K6_NO_USAGE_REPORT=true K6_AUTO_EXTENSION_RESOLUTION=false bin/k6 run --quiet "$$script"; done)

# The places where xk6 looks for it.
SMOKE = $(wildcard $(addsuffix smoke.js,./ test/ tests/ examples/ scripts/))

# Of xk6's 13 checks, security and vulnerability need programs and a database of their own, and versions needs tags,
# which a shallow clone has not.
LINT = module,replace,readme,license,git,build,smoke,examples,types,codeowners

lint: bin/xk6
	$(call step,xk6 lint,bin/xk6 lint --enable-only $(LINT))

bin/staticcheck: tools/go.mod tools/go.sum
	cd tools && go build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck

bin/xk6: tools/go.mod tools/go.sum
	cd tools && go build -o ../bin/xk6 go.k6.io/xk6

clean:
	rm -rf bin
