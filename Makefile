PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-slow lint docs bench clean

demo: $(INSTALLED)  ## install, and write a story with the built-in model
	$(BIN)/aigc complete "Once upon a time, there was a little robot who" --seed 1

test: $(INSTALLED)  ## all quick tests
	$(BIN)/python -m pytest

test-slow: $(INSTALLED)  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(INSTALLED)  ## generate what is generated: completions, command reference
	$(BIN)/python scripts/generate_docs.py

bench: $(INSTALLED)  ## start-up and first token, tokens/s beside transformers
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/text.py

$(INSTALLED): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
