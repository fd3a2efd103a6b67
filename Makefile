# `make demo` installs Candlewick and runs the built-in model; `make test` installs and runs all checks.
# Both work on a machine with nothing but Python 3.11+ and a C++20 compiler.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint tests clients browser kernel-tests kernel-tests-old kernel-tests-arm install install-tests format wheel clean

demo: $(VENV)/installed
	$(BIN)/candlewick run "What is 17 + 25?"

test: install-tests lint tests

install: $(VENV)/installed

$(VENV)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	touch $@

# Sources that are compiled; Python files are used in place.
NATIVE = pyproject.toml CMakeLists.txt $(shell find kernels -name "*.h" -o -name "*.cpp")

$(VENV)/installed: $(VENV)/pip $(NATIVE)
	$(BIN)/pip install --quiet --editable ".[all]"
	touch $@

install-tests: $(VENV)/installed
	$(BIN)/pip install --quiet --group test --group lint --group reference

# The browser for the tests of the pages, where apt has one and we may install it; without it they are skipped.
BROWSER = $(or $(CANDLEWICK_CHROMIUM),$(shell command -v chromium || command -v chromium-browser))
browser:
	@if [ -n "$(BROWSER)" ]; then exit 0; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  export DEBIAN_FRONTEND=noninteractive; \
	  { apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium fonts-dejavu-core; } \
	    </dev/null >/dev/null || echo "chromium could not be installed; tests that need it are skipped"; \
	else echo "tests of the pages need Debian's chromium, or a path in CANDLEWICK_CHROMIUM; they are skipped"; fi

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

tests:
	$(BIN)/python -m pytest

# Other people's clients against our server, in an environment of their own: they bring much.
clients:
	$(MAKE) install VENV=build/clients
	build/clients/bin/pip install --quiet --group test --group clients
	build/clients/bin/python -m pytest tests/clients

# The C++ tests alone, plain and under the sanitizers: make kernel-tests SANITIZE=address,undefined
SANITIZE ?=
kernel-tests:
	cmake -S . -B build/kernel-tests$(SANITIZE) -DCMAKE_BUILD_TYPE=Release -DCANDLEWICK_BUILD_TESTS=ON \
	  $(if $(SANITIZE),-DCMAKE_CXX_FLAGS="-g -fsanitize=$(SANITIZE)" -DCANDLEWICK_OPTIMIZATION=-O1)
	cmake --build build/kernel-tests$(SANITIZE) --parallel
	build/kernel-tests$(SANITIZE)/kernel_tests

# The same on an emulated processor of 2013, with AVX2 and nothing newer (qemu-user-static): no instruction set may be
# touched before the processor was asked for it.
kernel-tests-old: kernel-tests
	qemu-x86_64-static -cpu Haswell build/kernel-tests/kernel_tests

# The same for 64-bit Arm, with Debian's cross compiler (g++-aarch64-linux-gnu) and emulator (qemu-user-static).
kernel-tests-arm:
	cmake -S . -B build/kernel-tests-arm -DCMAKE_BUILD_TYPE=Release -DCANDLEWICK_BUILD_TESTS=ON \
	  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
	  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static
	cmake --build build/kernel-tests-arm --parallel
	qemu-aarch64-static build/kernel-tests-arm/kernel_tests

format:
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/pip
	$(BIN)/pip wheel --no-deps --wheel-dir dist .

clean:
	rm -rf build dist $(VENV)
