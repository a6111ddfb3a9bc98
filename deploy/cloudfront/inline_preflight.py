"""Copies preflight.js into template.yaml: python deploy/cloudfront/inline_preflight.py"""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent
_BLOCK = re.compile(r"(?P<begin>\n(?P<indent> +)- \| # preflight\.js\n)(?:(?P=indent)  .*\n|\n)+")


def inline(template: str, code: str) -> str:
    """Return the template with `code` as the block scalar that is marked `# preflight.js`.

    Raises:
        ValueError: The template has no such block, or several.
    """
    if len(_BLOCK.findall(template)) != 1:
        raise ValueError("template.yaml must have exactly one block marked `- | # preflight.js`")

    def replace(match: re.Match[str]) -> str:
        indent = match["indent"] + "  "
        return match["begin"] + "".join(f"{indent}{line}\n" if line else "\n" for line in code.splitlines())

    return _BLOCK.sub(replace, template)


if __name__ == "__main__":
    file = FOLDER / "template.yaml"
    file.write_text(inline(file.read_text(), (FOLDER / "preflight.js").read_text()))
