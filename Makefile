# `make setup` builds the environment in .venv; every other target does its own set-up first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup lock lint quick-lint check unit fuzz unit-floor notebooks book pdf browser firefox test results model release-check serve lab clean

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PORT ?= 8000
JOBS ?= 2
EXAMPLES ?= 5000
SINCE ?= main
BIN := .venv/bin

# The kernel is .venv's, whatever the reader's own Jupyter, IPython and Python settings say.
export JUPYTER_PREFER_ENV_PATH := 1
export JUPYTER_PLATFORM_DIRS := 1
export IPYTHONDIR := $(CURDIR)/_build/ipython
export PYTHONNOUSERSITE := 1
export UV_HTTP_TIMEOUT ?= 600
# the machine's own certificates where it has some (a proxy's may be among them), else those that uv carries
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),1,0)
# without stored bytecode, each of the many processes that tests start would compile torch again: 5 s more each
unexport PYTHONPATH PYTHONHOME MPLBACKEND VIRTUAL_ENV PYTHONDONTWRITEBYTECODE
KERNEL := $(IPYTHONDIR)/profile_default/ipython_kernel_config.json

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 20

setup: .venv/.stamp  ## build .venv from requirements.lock (once)

.venv/.stamp: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 found; install one, or name it: make setup PYTHON=/path/to/python3" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv --clear .venv >/dev/null 2>&1 || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null && $(PYTHON) -m venv --clear .venv; \
		else rm -rf .venv; echo "make: $(PYTHON) cannot make virtual environments; install its venv module (Debian: apt-get install python3-venv)" >&2; exit 2; fi; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement <(awk '/^uv==/, !/\\$$/' requirements.lock)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirements requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

lock: setup  ## renew requirements.lock from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra all --extra book --extra dev --universal --python-version 3.11 --fork-strategy fewest \
		--no-emit-index-url --generate-hashes --upgrade --quiet --output-file requirements.lock

quick-lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy clicv2lite book/_ext

check: quick-lint  ## in two minutes: lint, types, and the tests nearest to what differs from SINCE (the branch main)
	$(BIN)/python -m tests.check --since '$(SINCE)' --jobs $(JOBS)

lint: quick-lint
	@# what no Python tool reads: forms and rules that a host would only reject after a push
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format --default-filetype yaml CITATION.cff
	$(BIN)/zizmor --offline --quiet --no-progress .github

unit: setup
	$(BIN)/python -m pytest tests --ignore=tests/browser -n $(JOBS) --dist worksteal

# A kernel warns at each start that its messages are not encrypted; they do not leave this machine.
$(KERNEL):
	@mkdir -p $(@D)
	@echo '{"IPKernelApp": {"log_level": "ERROR"}}' > $@
# What pyproject.toml promises: the lowest versions that it allows. First scoring with the core alone, then everything.
unit-floor: setup  ## the unit tests with the oldest packages that pyproject.toml allows
	rm -rf _build/floor
	for extras in core all; do \
		place=_build/floor/$$extras && $(BIN)/uv venv --quiet --python $(BIN)/python $$place && \
		$(BIN)/uv pip install --quiet --python $$place/bin/python --resolution lowest-direct --requirements pyproject.toml \
			$$(test $$extras = core || echo --all-extras) || exit 1; \
	done
	PYTHONPATH=. _build/floor/core/bin/python -m clicv2lite score book/_static/picture.png --map _build/floor/maps
	PYTHONPATH=. _build/floor/all/bin/python -m pytest tests --ignore=tests/browser --ignore=tests/notebooks -n $(JOBS) --dist worksteal

fuzz: setup  ## attack readers, settings and commands with EXAMPLES damaged inputs each, other ones each time
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/fuzz -n $(JOBS) --dist worksteal

# Every cell must run; those with the tag nbval-check-output must also print what is stored. Each chapter is executed once: `book` takes
# what ran here from the cache.
notebooks: setup $(KERNEL)
	CLICV2LITE_JOBS=$(JOBS) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p tests.notebooks.executed_once -q book

book: setup $(KERNEL)  ## execute the chapters that changed, JOBS at a time, and render _build/html
	@# a failed build forgets its pages: Sphinx would not repeat the warnings of pages that it kept
	CLICV2LITE_JOBS=$(JOBS) OMP_NUM_THREADS=1 $(BIN)/jupyter-book build --warningiserror --nitpick --keep-going --quiet . || { rm -rf _build/.doctrees; exit 1; }
	@echo "$(CURDIR)/_build/html/index.html"

pdf: book  ## print the book, without the package's reference, into _build/book.pdf
	$(BIN)/python book/print_edition.py "$$(tests/browser/chromium.sh)"

browser: book
	@tests/browser/chromium.sh || true
	$(BIN)/python -m pytest tests/browser -n $(JOBS)

firefox: book  ## every page and the scorer in Firefox (needs Node.js)
	tests/browser/firefox.sh

test: setup  ## lint, types, unit tests, chapters, book without warnings, browser
	@for step in lint unit notebooks book browser; do echo "== $$step"; $(MAKE) --no-print-directory $$step; done

results: setup  ## make the stored results that are missing or out of date (days, if it is all; needs CLICV2LITE_DATA)
	$(BIN)/clicv2lite results --jobs $(JOBS)

model: setup  ## fit and measure the models of the package again, if they are out of date (40 minutes; needs CLICV2LITE_DATA)
	$(BIN)/clicv2lite results default-model lite-model plus-model --jobs $(JOBS)

# What a release consists of, each alone in an environment: it scores an image with the core, and its types reach a user's script. With
# the other packages, every example of the README runs.
release-check: setup  ## build wheel and sdist into dist/, install each alone, score an image there
	rm -rf dist _build/release-check
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m build --installer uv --outdir dist .
	$(BIN)/twine check --strict dist/*
	for kind in wheel:whl sdist:tar.gz; do \
		place=_build/release-check/$${kind%:*} && \
		$(BIN)/uv venv --quiet --python $(BIN)/python $$place && \
		$(BIN)/uv pip install --quiet --python $$place/bin/python --constraints <(sed '/--hash/d; s/ .$$//' requirements.lock) dist/*.$${kind#*:} && \
		cp book/_static/picture.png tests/user_script.py $$place && \
		$(BIN)/uv pip check --quiet --python $$place/bin/python && $$place/bin/python -W error -c 'import clicv2lite' && \
		(cd $$place && bin/clicv2lite score picture.png --map maps) || exit 1; \
	done
	$(BIN)/python -m tests.core _build/release-check/wheel/bin/python
	test "$$(stat -c %s dist/*.whl)" -le 15000000
	cd _build/release-check/wheel && "$(CURDIR)/$(BIN)/mypy" --strict --config-file= --cache-dir=.mypy_cache --python-executable bin/python user_script.py
	wheel=$$(ls dist/*.whl) && $(BIN)/uv pip install --quiet --python _build/release-check/wheel/bin/python \
		--constraints <(sed '/--hash/d; s/ .$$//' requirements.lock) "$$wheel[all]" pytest
	cp README.md tests/test_snippets.py _build/release-check/wheel
	cd _build/release-check/wheel && bin/python -m pytest -q -p no:cacheprovider test_snippets.py

serve: book  ## serve the book on 127.0.0.1
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

lab: setup  ## open the chapters in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=book $(if $(filter 0,$(shell id -u)),--allow-root)

clean:  ## remove what was built, but not .venv
	rm -rf _build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
