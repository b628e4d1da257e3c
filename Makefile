# make demo   install into .venv and run the main job on synthetic images
# make test   install into .venv and run every check
# make clean  remove .venv and what the demo wrote

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test clean

demo: .venv/.installed
	$(BIN)/knobo demo --out demo-output

test: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n auto --dist loadscope

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "knobo needs Python 3.10 or newer; run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.created pyproject.toml
	@echo "Installing knobo into .venv (PyTorch is large: a few minutes the first time) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.installed-test: .venv/.created pyproject.toml
	@echo "Installing knobo and its test tools into .venv (PyTorch is large: a few minutes the first time) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ .venv/.installed

clean:
	rm -rf .venv demo-output
