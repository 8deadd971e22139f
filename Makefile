# Two commands on a fresh machine: `make demo` and `make test`; `make help` lists all.
.DEFAULT_GOAL := help
.PHONY: help setup demo evidence test test-sanitize gpu-report bench dist lint format clean

# The python that .venv is made with: the one it has, or the first supported one on PATH.
SUPPORTED := -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'
ifeq ($(strip $(PYTHON)),)
PYTHON := $(shell for p in .venv/bin/python python3 python3.12 python3.11 python3.10; do \
	"$$p" $(SUPPORTED) 2>/dev/null && echo "$$p" && exit; done; echo python3)
endif
VENV_PYTHON := .venv/bin/python
CPP_FILES = $(shell git ls-files '*.cpp' '*.cu' '*.cuh' '*.h' '*.hpp')

help:
	@echo 'make demo [DATA=<COCO-format folder>] [WORK_DIR=<folder>]'
	@echo '                    set up, then train, evaluate and compare BN, GN and FRN; a report at the end'
	@echo 'make evidence [DATA=<COCO-format folder>] [WORK_DIR=<folder>]'
	@echo '                    hours: BN, GN and FRN with six seeds on shapes, or in five folds on your images'
	@echo 'make test [ARGS=<options of pytest>]'
	@echo '                    set up, then lint and the whole test suite'
	@echo 'make test STACK=openmmlab [MMCV_WHEEL=<file.whl>] [ARGS=<options of pytest>]'
	@echo '                    the test suite on mmdet 3.3.0, mmcv 2.1.0 and torch 2.5.1, in .openmmlab'
	@echo 'make test-sanitize [ARGS=<options of pytest>]'
	@echo '                    the tests of the ops on a CPU, with the address and undefined-behaviour sanitizers'
	@echo 'make gpu-report [ARGS=<options of benchmarks/gpu_report.py>]'
	@echo '                    build, test, check and time everything on this GPU: a page in 15 minutes'
	@echo 'make bench [ARGS=<options of benchmarks/ops.py>]'
	@echo '                    time FRN+TLU beside BN+ReLU and others; a report in docs/results/ops'
	@echo 'make setup [PYTHON=<python 3.10 to 3.12>] [MMCV_WHEEL=<file.whl>]'
	@echo '                    .venv with the pinned stack and this package; seconds when nothing changed'
	@echo 'make dist           sdist and wheel in dist/, checked and installed with and without a compiler'
	@echo 'make lint           check style and types'
	@echo 'make format         fix style'
	@echo 'make clean          remove .venv, builds and caches; results in work_dirs stay'

# Without the user's settings that would take packages from elsewhere, or put them there.
SETUP_ENV := env -u PYTHONPATH -u PYTHONHOME PYTHONNOUSERSITE=1 PIP_USER=0 PIP_NO_INPUT=1 MMCV_WITH_OPS=1
setup:
	@"$(PYTHON)" $(SUPPORTED) || { echo 'make setup: $(PYTHON) must be a python 3.10 to 3.12; install one,' \
		'or name it: make setup PYTHON=python3.12' >&2; exit 1; }
	@$(SETUP_ENV) $(shell command -v flock >/dev/null && echo flock Makefile) \
		$(MAKE) --no-print-directory -f tools/setup.mk PYTHON="$(PYTHON)"

demo: setup
	$(VENV_PYTHON) tools/demo.py $(if $(DATA),--data "$(DATA)") $(if $(WORK_DIR),--work-dir "$(WORK_DIR)")

evidence: setup
	$(VENV_PYTHON) tools/evidence.py $(if $(DATA),--data "$(DATA)") $(if $(WORK_DIR),--work-dir "$(WORK_DIR)")

# A worker a core, each with whole files, so that a module's fixtures are made once.
ifeq ($(STACK),openmmlab)
test:
	tools/test_openmmlab.sh $(ARGS)
else
test: lint
	$(VENV_PYTHON) -m pytest --numprocesses=logical --dist=loadfile $(ARGS)
endif

test-sanitize: setup
	PYTHON=$(CURDIR)/$(VENV_PYTHON) tools/test_sanitize.sh $(ARGS)

gpu-report: setup
	$(VENV_PYTHON) -m benchmarks.gpu_report $(ARGS)

bench: setup
	$(VENV_PYTHON) -m benchmarks.ops $(ARGS)

dist: setup
	rm -rf dist
	$(VENV_PYTHON) -m build --no-isolation
	$(VENV_PYTHON) -m twine check --strict dist/*
	PYTHON=$(CURDIR)/$(VENV_PYTHON) tools/test_dist.sh

lint: setup
	.venv/bin/codespell
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy
	$(if $(strip $(CPP_FILES)),.venv/bin/clang-format --dry-run --Werror $(CPP_FILES))

format: setup
	$(VENV_PYTHON) -m ruff check --fix .
	$(VENV_PYTHON) -m ruff format .
	$(if $(strip $(CPP_FILES)),.venv/bin/clang-format -i $(CPP_FILES))

clean:
	rm -rf .venv .openmmlab build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find mmdet_frn benchmarks tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
