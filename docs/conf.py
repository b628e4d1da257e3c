"""Sphinx settings: ``sphinx-build -W docs docs/_build`` makes the pages, with ``pip install "knobo[docs]"``."""

from knobo import __version__

project = "knobo"
author = "The knobo developers"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
myst_heading_anchors = 4
suppress_warnings = ["myst.xref_missing"]  # links to files outside docs/ are for readers of the repository
autodoc_typehints = "none"
napoleon_google_docstring = False
