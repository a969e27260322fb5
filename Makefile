PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# a file at a time in each process, which computes on one core
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

.PHONY: demo test test-slow lint docs bench clean

demo: $(INSTALLED)  ## install, and write a story with the built-in model
	$(BIN)/aigc complete "Once upon a time, there was a little robot who" --seed 1

test: $(INSTALLED)  ## all quick tests
	$(PYTEST)

test-slow: $(INSTALLED)  ## the tests that take longer
	$(PYTEST) -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(INSTALLED)  ## generate what is generated: completions, command reference
	$(BIN)/python scripts/generate_docs.py

bench: $(INSTALLED)  ## start-up and first token, tokens/s beside transformers
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/text.py  # those of training and of images take longer and say how they are called

$(INSTALLED): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
