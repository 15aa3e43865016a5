# A fresh machine needs Python >= 3.10 and make; everything else is installed into .venv from the package index.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
# Two processes, each with whole test files, whose fixtures are made once.
IN_TWO := -n 2 --dist loadfile

.PHONY: install demo demo-flowers test test-all lint clean

install: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(INSTALLED)  ## The main job on drawn shapes, offline: convert, pretrain, fine-tune, evaluate, export, classify.
	PATH="$(abspath $(VENV))/bin:$$PATH" bash demo/shapes.sh

demo-flowers: $(INSTALLED)  ## The same on real photos and a real ImageNet checkpoint, where ../shared/data is.
	PATH="$(abspath $(VENV))/bin:$$PATH" bash demo/flowers.sh ../shared/data

test: $(INSTALLED) lint  ## What CI runs.
	$(PY) -m pytest $(IN_TWO) -m "not slow"

test-all: $(INSTALLED) lint
	$(PY) -m pytest $(IN_TWO)

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
