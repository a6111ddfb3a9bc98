"""Configuration of the documentation site; `make docs` builds it."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

# Alembic reports its plugins when it is imported.
logging.getLogger("alembic").setLevel(logging.WARNING)

project = "image-gateway"
copyright = "the image-gateway authors"
version = release = version_of("image-gateway")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "generated_reference",
]
exclude_patterns = ["_build", "_extensions"]
html_theme = "furo"
html_title = "image-gateway"
# No request to other hosts when a page is read.
html_theme_options = {"top_of_page_buttons": []}

# Quotes and dashes are shown as they are written: much of the text is code.
smartquotes = False

myst_enable_extensions = ["attrs_inline", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# Types of other projects have no page here: their documentation is not fetched. Nor have private names.
nitpick_ignore_regex = [
    ("py:.*", r"(?!image_gateway\.client\.).*"),
    ("py:.*", r".*\._.*"),
]
