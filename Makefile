# `make help` lists the targets. The environment is rebuilt only when a lock in requirements/ changed.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

# PyTorch's CPU wheels carry a local version (+cpu) and lie on an index of their own, which is asked for torch alone:
# PyPI would offer the CUDA build. Where that index cannot be reached, pip's own configuration (find-links) may help.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
ML := $(shell if test -e /proc/driver/nvidia/version || nvidia-smi -L >/dev/null 2>&1; then echo cuda; else echo cpu; fi)

# Every lock is complete, so pip need not resolve anything (--no-deps).
INSTALL := $(RUN) -m pip install -qq --disable-pip-version-check --no-input --require-hashes --no-deps --no-compile
# 25,000 files, which pip would compile one after the other. Some are of another Python's syntax, and nobody imports them.
COMPILE := $(RUN) -m compileall -qq -j 0 $(VENV)/lib || true

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench bench-profile bench-scale bench-faults soak eval-routing eval-cache eval-rag bench-embed lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed 's/:.*## /	/' | expand -t 16

run: $(VENV)/.run-$(ML)  ## start the gateway and serve until Ctrl-C (DATA_DIR=…, PORT=…)
	@exec $(RUN) -m gateway_project.supervisor --under-make

test: $(VENV)/.dev-$(ML)  ## run the whole test suite (or a part: ARGS=tests/keys)
	@exec $(RUN) -m $(if $(ARGS),pytest $(ARGS),tests.everything)

lint: $(VENV)/.dev-$(ML)  ## check style, types, templates, imports and migrations
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy .
	$(RUN) -m djlint --check --lint templates
	$(VENV)/bin/lint-imports
	$(RUN) manage.py makemigrations --check --dry-run

format: $(VENV)/.dev-$(ML)  ## rewrite what the linters can
	-$(RUN) -m ruff check --fix --quiet .
	$(RUN) -m ruff format --quiet .
	-$(RUN) -m djlint --quiet --reformat templates

bench: $(VENV)/.dev-$(ML)  ## CPU and latency a request costs, beside a bare pass-through
	@exec $(RUN) -m bench

bench-profile: $(VENV)/.dev-$(ML)  ## the request path's heaviest functions
	@exec $(RUN) -m bench profile

bench-scale: $(VENV)/.dev-$(ML)  ## the same with 10,000 keys and 1,000,000 ledger rows
	@exec $(RUN) -m bench scale

bench-faults: $(VENV)/.dev-$(ML)  ## success, calls and recovery while providers fail, hang and die
	@exec $(RUN) -m bench faults

soak: $(VENV)/.dev-$(ML)  ## ten minutes of mixed traffic while everything fails in turn, and the sums it ends with
	@exec $(RUN) -m bench soak

eval-routing: $(VENV)/.dev-$(ML)  ## how well the classifier ranks and labels
	@exec $(RUN) -m bench.routing_eval

bench-embed: $(VENV)/.dev-$(ML)  ## the embedding worker beside SentenceTransformer.encode
	@exec $(RUN) -m bench embed

eval-cache: $(VENV)/.dev-$(ML)  ## what the semantic cache answers, right and wrong
	@exec $(RUN) -m bench cache-eval

eval-rag: $(VENV)/.dev-$(ML)  ## what searches find of what answers a question (ARGS="my.csv --library name")
	@exec $(RUN) -m bench.rag_eval $(ARGS)

lock: $(VENV)/.dev-$(ML)  ## compile requirements/*.in into locks (ARGS=--upgrade for newer versions)
	PATH=$(CURDIR)/$(VENV)/bin:$$PATH $(RUN) requirements/lock.py $(ARGS)

clean:  ## remove the environment and caches; data/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo 'python3 cannot make virtual environments; on Debian: apt-get install python3-venv' >&2; exit 1; }

$(VENV)/.run-cpu: requirements/base.txt requirements/ml-cpu.txt | $(VENV)/bin/python
	@echo 'Installing the environment (once, and after the locks change) …'
	@sed -n '/^torch==/,/[^\\]$$/p' requirements/ml-cpu.txt > $(VENV)/torch.txt
	@$(INSTALL) --index-url $(TORCH_CPU_INDEX) --retries 1 -r $(VENV)/torch.txt
	@$(INSTALL) -r requirements/base.txt -r requirements/ml-cpu.txt
	@$(COMPILE)
	@touch $@

$(VENV)/.run-cuda: requirements/base.txt requirements/ml-cuda.txt | $(VENV)/bin/python
	@echo 'Installing the environment with CUDA (once, and after the locks change) …'
	@$(INSTALL) -r requirements/base.txt -r requirements/ml-cuda.txt
	@$(COMPILE)
	@touch $@

$(VENV)/.dev-$(ML): requirements/dev.txt $(VENV)/.run-$(ML)
	@echo 'Installing the tools for tests and checks …'
	@$(INSTALL) -r requirements/dev.txt
	@$(COMPILE)
	@touch $@
