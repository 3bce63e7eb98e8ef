# Every target sets itself up: a virtual environment in .venv, pinned dependencies, the package.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
# One BLAS thread a test worker: small products on a busy machine are many times slower with more.
ONE := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo test test-integrations lint docs bench study clean chromium

demo: $(VENV)/.demo
	$(BIN)/anisoalign demo

test: $(VENV)/.dev
	$(ONE) $(BIN)/pytest -n 2 --dist loadfile -m "not integration"

test-integrations: $(VENV)/.dev chromium
	$(ONE) $(BIN)/pytest -n 2 --dist loadscope -m integration tests

# Pages are tested in a real browser; without one, and without the right to install it, those tests skip.
chromium:
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null \
		|| { [ "$$(id -u)" = 0 ] && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium > /dev/null; } \
		|| echo "no Chromium: the tests of pages in a browser will skip"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/.dev
	$(BIN)/python tools/command_reference.py
	$(BIN)/python tools/page_tables.py
	$(BIN)/zensical build --strict --clean

# Speed on a million rows a side first; the rest takes hours, and 40 GB of disk at LARGEST=10000000.
LARGEST ?= 1000000
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/scaling.py --again --largest $(LARGEST)
	$(BIN)/python benchmarks/workers.py
	$(BIN)/python benchmarks/peers.py

# Goes on where it was interrupted; then `python benchmarks/study_page.py --take study/study.json` fills docs/study.md.
study: $(VENV)/.dev
	$(ONE) $(BIN)/python -m anisoalign.mllm.study --out study

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[report]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) demo bench-data site study
