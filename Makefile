# `make` alone lists the targets. Everything is installed into .venv and built into _build.

PROFILE ?= quick
# Of 'make serve': 0 is a free one.
PORT ?= 0
BENCH ?= quick
# More arguments for pip, for instance another package index (a CPU build of torch is enough).
PIP_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin

# The first Python that is new enough, unless the caller names one; asked for only when needed.
FIND_PYTHON = for candidate in $(or $(PYTHON),python3.11 python3 python3.12 python3.13 python); do \
	if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then python="$$candidate"; break; fi; done

NEED_PYTHON = if [ -z "$$python" ]; then \
	echo "Python 3.11 or newer is needed and was not found$(if $(PYTHON), as '$(PYTHON)'); install it or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 2; fi
# Marks what is made and removes what is marked; needs nothing but Python itself.
CLEAN = PYTHONPATH=lib "$$python" -B -m book_tools.clean

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# One recipe after the other: the notebooks use every core themselves.
.NOTPARALLEL:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PROFILE=stored|quick|paper   what 'make book' shows or computes (default: quick)"
	@echo "  BENCH=quick|full             how much 'make bench' measures (default: quick)"
	@echo "  DEVICE=cuda                  'make bench' on a GPU: batches of this library's chains"
	@echo "  FIGURE=... WORKERS=... LIMIT=SECONDS   for 'make reproduce'"
	@echo "  PORT=8000                    for 'make serve' (default: a free one)"
	@echo "  PYTHON=...                   the Python to use, 3.11 or newer"
	@echo "  PIP_ARGS=...                 more arguments for pip"

.PHONY: env
env: $(VENV)/.installed ## create .venv with everything pinned (a second call is immediate)

# The stamp is written last: an interrupted installation is taken up again. An environment that
# somebody else made is used as it is.
$(VENV)/.installed: pyproject.toml constraints.txt setup.py $(wildcard lib/feature_learning/native/*.[ch])
	@$(FIND_PYTHON); $(NEED_PYTHON); $(CLEAN) --make $(VENV); \
	case $$? in \
		0) "$$python" -m venv $(VENV) ;; \
		3) test -x $(BIN)/python || { echo "$(VENV) is no environment and was not made here; move it away" >&2; exit 2; } ;; \
		*) exit 2 ;; \
	esac
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[book,test,dev]'
	@touch $@

# Before minutes of installing; the other targets do not look at it.
.PHONY: profile
profile:
	@case '$(PROFILE)' in \
		stored | quick | paper) ;; \
		*) echo "PROFILE is '$(PROFILE)'; it must be stored, quick or paper" >&2; exit 2 ;; \
	esac

.PHONY: book
book: profile env ## compute the figures and build the web book into _build/html
	$(BIN)/python -m book_tools build --profile $(PROFILE)

.PHONY: reproduce
reproduce: env ## compute the stored results again, all or those of FIGURE=4; resumable
	$(BIN)/python -m book_tools reproduce $(if $(FIGURE),--figure '$(FIGURE)') $(if $(WORKERS),--workers '$(WORKERS)') $(if $(LIMIT),--limit '$(LIMIT)')

.PHONY: serve
serve: ## show the built book on localhost, to this machine only
	@test -f _build/html/index.html || { echo "there is no book in _build/html yet; 'make book' builds it" >&2; exit 2; }
	@$(FIND_PYTHON); $(NEED_PYTHON); "$$python" -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

.PHONY: test
test: env lint typecheck unit ## everything CI checks: code, stored cells, notebooks, claims, the pages
	$(BIN)/python -m book_tools recheck --cells 3
	$(BIN)/python -m book_tools claims --profile stored
	$(BIN)/python -m book_tools build --profile quick
	$(BIN)/python -m book_tools convert --out _build/nbval
	@# One thread each: idle threads of torch spin on the cores that the other notebooks need.
	OMP_NUM_THREADS=1 BOOK_CHECKPOINTS="$(CURDIR)/_build/checkpoints" $(BIN)/python -m pytest -n auto --dist loadfile --nbval-lax --nbval-current-env _build/nbval
	$(BIN)/python -m pytest -n auto -m book tests/book_tools

.PHONY: unit
unit: env ## the tests that need no book
	$(BIN)/python -m pytest -n auto

.PHONY: lint
lint: env ## style and formatting, without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: env ## put the code into the common format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: typecheck
typecheck: env ## mypy, strict, on lib
	$(BIN)/mypy

# The peers are measured on the CPU only: for a GPU there is nothing to install.
GPU := $(filter-out cpu,$(DEVICE))
.PHONY: bench
bench: effort $(if $(GPU),env,$(VENV)/.installed-bench) ## speed, side by side with other packages; BENCH=full stores the table
	$(BIN)/python -m benchmarks --effort $(BENCH) $(if $(GPU),--device '$(DEVICE)',$(if $(filter full,$(BENCH)),--store))

.PHONY: effort
effort:
	@case '$(BENCH)' in \
		quick | full) ;; \
		*) echo "BENCH is '$(BENCH)'; it must be quick or full" >&2; exit 2 ;; \
	esac

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[bench]'
	@touch $@

.PHONY: clean
clean: ## remove what was built here; computed notebooks and .venv too
	@$(FIND_PYTHON); $(NEED_PYTHON); $(CLEAN)
