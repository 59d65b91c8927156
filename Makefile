# `make` alone lists the targets. Everything is installed into .venv and built into _build.

PROFILE ?= stored
# Port of 'make serve'; 0 chooses a free one.
PORT ?= 0
BENCH ?= quick
# Additional arguments for pip, such as another package index (a CPU build of torch is enough).
PIP_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin

# The first Python that is new enough, unless the caller names one; searched only when needed.
FIND_PYTHON = for candidate in $(or $(PYTHON),python3.11 python3 python3.12 python3.13 python); do \
	if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then python="$$candidate"; break; fi; done

NEED_PYTHON = if [ -z "$$python" ]; then \
	echo "Python 3.11 or newer is needed and was not found$(if $(PYTHON), as '$(PYTHON)'); install it or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 2; fi
# Marks folders that are made here and removes marked ones; needs only Python itself.
CLEAN = PYTHONPATH=lib "$$python" -B -m book_tools.clean

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Run one recipe after another, because the notebooks already use all cores.
.NOTPARALLEL:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PROFILE=stored|paper         show stored results and check some, or compute all (default: stored)"
	@echo "  BENCH=quick|full             how much 'make bench' measures (default: quick)"
	@echo "  DEVICE=cuda                  'make bench' on a GPU: batches of this library's chains"
	@echo "  FIGURE=... WORKERS=... TIME_LIMIT=SECONDS   for 'make reproduce'"
	@echo "  PORT=8000                    for 'make serve' (default: a free one)"
	@echo "  PYTHON=...                   the Python to use, 3.11 or newer"
	@echo "  PIP_ARGS=...                 more arguments for pip"

.PHONY: env
env: $(VENV)/.installed ## create .venv with everything pinned (a second call is immediate)

# The stamp is written last, so that an interrupted installation is continued. An environment that
# was not made here is used as it is.
$(VENV)/.installed: pyproject.toml constraints.txt setup.py $(wildcard lib/feature_learning/native/*.[ch])
	@$(FIND_PYTHON); $(NEED_PYTHON); $(CLEAN) --make $(VENV); \
	case $$? in \
		0) "$$python" -m venv $(VENV) ;; \
		3) test -x $(BIN)/python || { echo "$(VENV) is no environment and was not made here; move it away" >&2; exit 2; } ;; \
		*) exit 2 ;; \
	esac
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[book,test,dev]'
	@touch $@

# Checked before the installation, which takes minutes; other targets do not use PROFILE.
.PHONY: profile
profile:
	@case '$(PROFILE)' in \
		stored | paper) ;; \
		*) echo "PROFILE is '$(PROFILE)'; it must be stored or paper" >&2; exit 2 ;; \
	esac

.PHONY: book
book: profile env ## compute the figures and build the web book into _build/html
	$(BIN)/python -m book_tools build --profile $(PROFILE)

.PHONY: reproduce
reproduce: env ## compute the stored results again, all or those of FIGURE=4; resumable
	$(BIN)/python -m book_tools reproduce $(if $(FIGURE),--figure '$(FIGURE)') $(if $(WORKERS),--workers '$(WORKERS)') $(if $(TIME_LIMIT),--time-limit '$(TIME_LIMIT)')

.PHONY: serve
serve: ## show the built book on localhost (this machine only)
	@test -f _build/html/index.html || { echo "there is no book in _build/html yet; 'make book' builds it" >&2; exit 2; }
	@$(FIND_PYTHON); $(NEED_PYTHON); "$$python" -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

.PHONY: test
test: env lint typecheck unit ## all checks of CI: code, stored cells, notebooks, claims, pages
	$(BIN)/python -m book_tools build
	$(BIN)/python -m book_tools check
	$(BIN)/python -m book_tools convert --out _build/nbval
	@# One thread per notebook: idle threads of torch spin on cores that other notebooks need.
	OMP_NUM_THREADS=1 BOOK_REVISION="$$(git rev-parse HEAD 2>/dev/null)" BOOK_CHECKPOINTS="$(CURDIR)/_build/checkpoints" $(BIN)/python -m pytest -n auto --dist loadfile --nbval-lax --nbval-current-env _build/nbval
	$(BIN)/python -m pytest -n auto -m book tests/book_tools

.PHONY: unit
unit: env ## run the tests that need no built book
	$(BIN)/python -m pytest -n auto

.PHONY: lint
lint: env ## check style and formatting without changing files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: env ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: typecheck
typecheck: env ## run mypy in strict mode on lib
	$(BIN)/mypy

# The peers are measured on the CPU only, so that a GPU run needs no installation.
GPU := $(filter-out cpu,$(DEVICE))
.PHONY: bench
bench: effort $(if $(GPU),env,$(VENV)/.installed-bench) ## measure the speed against other packages; BENCH=full stores the table
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
clean: ## remove everything built here, including computed notebooks and .venv
	@$(FIND_PYTHON); $(NEED_PYTHON); $(CLEAN)
