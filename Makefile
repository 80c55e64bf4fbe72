# `make setup` builds the environment in .venv; every other target does its own set-up first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup lock lint unit notebooks book browser test results model release-check serve lab clean

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PORT ?= 8000
JOBS ?= 2
BIN := .venv/bin

# The kernel is .venv's, whatever the reader's own Jupyter, IPython and Python settings say.
export JUPYTER_PREFER_ENV_PATH := 1
export JUPYTER_PLATFORM_DIRS := 1
export IPYTHONDIR := $(CURDIR)/_build/ipython
export PYTHONNOUSERSITE := 1
export UV_HTTP_TIMEOUT ?= 600
# the machine's own certificates where it has some (a proxy's may be among them), else those that uv carries
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),1,0)
unexport PYTHONPATH PYTHONHOME MPLBACKEND VIRTUAL_ENV

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 20

setup: .venv/.stamp  ## build .venv from requirements.lock (once)

.venv/.stamp: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 found; install one, or name it: make setup PYTHON=/path/to/python3" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv --clear .venv >/dev/null 2>&1 || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null && $(PYTHON) -m venv --clear .venv; \
		else rm -rf .venv; echo "make: $(PYTHON) cannot make virtual environments; install its venv module (Debian: apt-get install python3-venv)" >&2; exit 2; fi; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[^ ]*' requirements.lock)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirements requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

lock: setup  ## renew requirements.lock from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --fork-strategy fewest \
		--no-emit-index-url --upgrade --quiet --output-file requirements.lock

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy clicv2lite book/_ext
	@# what no Python tool reads: forms and rules that a host would only reject after a push
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format --default-filetype yaml CITATION.cff
	$(BIN)/zizmor --offline --quiet --no-progress .github

unit: setup
	$(BIN)/python -m pytest tests --ignore=tests/browser -n $(JOBS) --dist worksteal

# --nbval-lax: every cell must run; those marked NBVAL_CHECK_OUTPUT must also print what is stored.
notebooks: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=600 book -n $(JOBS) --dist loadfile -q

book: setup  ## execute the chapters that changed, JOBS at a time, and render _build/html
	@# a failed build forgets its pages: Sphinx would not repeat the warnings of pages that it kept
	CLICV2LITE_JOBS=$(JOBS) OMP_NUM_THREADS=1 $(BIN)/jupyter-book build --warningiserror --nitpick --keep-going --quiet . || { rm -rf _build/.doctrees; exit 1; }
	@echo "$(CURDIR)/_build/html/index.html"

browser: book
	@tests/browser/chromium.sh || true
	$(BIN)/python -m pytest tests/browser -n $(JOBS)

test: setup  ## lint, types, unit tests, chapters, book without warnings, browser
	@for step in lint unit notebooks book browser; do echo "== $$step"; $(MAKE) --no-print-directory $$step; done

results: setup  ## make data/results again: pretraining, probes, baselines, tables, bench (a day; needs CLICV2LITE_DATA)
	@test -d "$${CLICV2LITE_DATA:-}/photos" || { echo "make: set CLICV2LITE_DATA to a folder with photos/ and savoias/" >&2; exit 2; }
	for seed in 0 1 2; do \
		$(BIN)/clicv2lite pretrain --recipe lite --images "$$CLICV2LITE_DATA/photos/photos-{000000..000003}.tar" --out runs/lite$$seed --set seed=$$seed --resume; \
		mkdir -p data/results/lite/seed$$seed data/results/random; \
		cp runs/lite$$seed/config.json runs/lite$$seed/metrics.jsonl data/results/lite/seed$$seed; \
		$(BIN)/clicv2lite probe --encoder runs/lite$$seed --ratings "$$CLICV2LITE_DATA/savoias/ratings.csv" --head ridge --seed $$seed \
			--json data/results/lite/seed$$seed/probe.json; \
		$(BIN)/clicv2lite probe --encoder random --ratings "$$CLICV2LITE_DATA/savoias/ratings.csv" --head ridge --seed $$seed \
			--json data/results/random/seed$$seed.json; \
	done
	$(BIN)/python -m clicv2lite.baselines.agreement --ratings "$$CLICV2LITE_DATA/savoias/ratings.csv" \
		--json data/results/measures_savoias.json
	$(BIN)/python -m clicv2lite.baselines.handcrafted --ratings "$$CLICV2LITE_DATA/savoias/ratings.csv" \
		--json data/results/handcrafted_ridge.json
	$(BIN)/python -m clicv2lite.pairs --images "$$CLICV2LITE_DATA/photos/photos-{000000..000003}.tar" --json data/results/pairs_photos.json
	$(BIN)/python -m clicv2lite.pairs --images "$$CLICV2LITE_DATA/savoias/Images" --json data/results/pairs_savoias.json
	for seed in 0 1 2; do for method in clicv2 moco clic; do \
		$(BIN)/clicv2lite pretrain --recipe lite --images "$$CLICV2LITE_DATA/photos/photos-{000000..000003}.tar" \
			--out runs/$$method-$$seed --set method=$$method passes=16384 precision=bf16 seed=$$seed --resume; \
		mkdir -p data/results/invariance/$$method; \
		cp runs/$$method-$$seed/config.json data/results/invariance/$$method/seed$$seed.config.json; \
		cp runs/$$method-$$seed/metrics.jsonl data/results/invariance/$$method/seed$$seed.metrics.jsonl; \
		$(BIN)/python -m clicv2lite.probe.invariance --encoder runs/$$method-$$seed --ratings "$$CLICV2LITE_DATA/savoias/ratings.csv" \
			--seed $$seed --json data/results/invariance/$$method/seed$$seed.json \
			$$(test $$seed = 0 && echo --tsne data/results/invariance/tsne_$$method.csv); \
	done; done
	for set in measures:agreement handcrafted:handcrafted; do \
		$(BIN)/python -m clicv2lite.baselines.$${set#*:} --set plain --ratings "$$CLICV2LITE_DATA/savoias/ratings.csv" \
			--json data/results/$${set%:*}_all.json; \
	done
	$(BIN)/python -m clicv2lite.baselines.handcrafted --set plain --within-categories --ratings "$$CLICV2LITE_DATA/savoias/ratings.csv" \
		--json data/results/handcrafted_within.json
	$(BIN)/python -m clicv2lite.baselines.handcrafted --set plain --within-categories --encoder default \
		--ratings "$$CLICV2LITE_DATA/savoias/ratings.csv" --json data/results/handcrafted_and_default.json
	mkdir -p data/results/suites
	for suite in table2 table4 table5 fig6 fig7 "fig5 --rows CLIC CLICv2"; do \
		$(BIN)/clicv2lite evaluate --suite $$suite --size lite --out runs/suites; \
		cp runs/suites/$${suite%% *}.json runs/suites/$${suite%% *}.md runs/suites/$${suite%% *}.svg data/results/suites; \
	done
	$(BIN)/python -m clicv2lite.evaluate.claims
	for model in p2pfm kyle hyperiqa icnet iccorn; do \
		$(BIN)/python -m clicv2lite.baselines.supervised --model $$model --ratings "$$CLICV2LITE_DATA/savoias/ratings.csv" \
			--work runs/supervised --json data/results/supervised/$$model.json; \
	done
	$(BIN)/clicv2lite bench --json data/results/bench.json
	$(BIN)/python -m clicv2lite.bench.memory --json data/results/loss_memory.json
	$(BIN)/python -m clicv2lite.score.speed --images "$$CLICV2LITE_DATA/photos/photos-000000.tar" --json data/results/score_speed.json
	OMP_NUM_THREADS=1 $(BIN)/python tests/pretrain/soak.py --json data/results/soak.json

model: setup  ## train the model of the package again (an hour; needs CLICV2LITE_DATA)
	@test -d "$${CLICV2LITE_DATA:-}/photos" || { echo "make: set CLICV2LITE_DATA to a folder with photos/ and savoias/" >&2; exit 2; }
	$(BIN)/clicv2lite pretrain --recipe lite --images "$$CLICV2LITE_DATA/photos/photos-{000000..000003}.tar" --out runs/default \
		--set passes=512000 precision=bf16 --resume
	$(BIN)/python -m clicv2lite.models runs/default --ratings "$$CLICV2LITE_DATA/savoias/ratings.csv" \
		--set pool_read=likeness pool_halvings=1 pool_size=448 pool_statistics=mean,std

# What a release consists of, each in an environment that holds nothing else: it scores an image, and its types reach a user's script.
release-check: setup  ## build wheel and sdist into dist/, install each alone, score an image there
	rm -rf dist _build/release-check
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m build --installer uv --outdir dist .
	$(BIN)/twine check --strict dist/*
	for kind in wheel:whl sdist:tar.gz; do \
		place=_build/release-check/$${kind%:*} && \
		$(BIN)/uv venv --quiet --python $(BIN)/python $$place && \
		$(BIN)/uv pip install --quiet --python $$place/bin/python --constraints requirements.lock dist/*.$${kind#*:} && \
		cp book/_static/picture.png tests/user_script.py $$place && \
		(cd $$place && bin/clicv2lite score picture.png) || exit 1; \
	done
	cd _build/release-check/wheel && "$(CURDIR)/$(BIN)/mypy" --strict --config-file= --cache-dir=.mypy_cache --python-executable bin/python user_script.py

serve: book  ## serve the book on 127.0.0.1
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

lab: setup  ## open the chapters in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=book $(if $(filter 0,$(shell id -u)),--allow-root)

clean:  ## remove what was built, but not .venv
	rm -rf _build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
