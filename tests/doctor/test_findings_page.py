"""The page of finding codes and the code name the same codes, and say the same severity."""

from __future__ import annotations

import ast
import re
from collections import defaultdict

from image_gateway.doctor.run import subjects
from tests.support.documents import ROOT
from tests.support.findings_page import documented_severities

MODULES = sorted((ROOT / "image_gateway/doctor").glob("*.py"))
SEVERITIES = {"BROKEN": "broken", "WARNING": "warning"}


def constants() -> set[str]:
    """All strings in the doctor's modules that look like the code of a finding."""
    pattern = re.compile(rf"(doctor|{'|'.join(subjects())})(-[a-z0-9]+)+")
    nodes = (node for path in MODULES for node in ast.walk(ast.parse(path.read_text())))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if pattern.fullmatch(text)}


def severities() -> dict[str, set[str]]:
    """The severities that stand beside a code in a call of Finding."""
    found = defaultdict(set)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
            ):
                continue
            code, severity = node.args[:2]
            if isinstance(code, ast.Constant):
                names = {part.attr for part in ast.walk(severity) if isinstance(part, ast.Attribute)}
                found[str(code.value)] |= {SEVERITIES[name] for name in names & SEVERITIES.keys()}
    return found


def test_every_code_is_documented_and_every_documented_code_is_used() -> None:
    assert constants() == documented_severities("doctor").keys()


def test_the_severities_are_those_of_the_code() -> None:
    documented = documented_severities("doctor")
    assert {code: documented[code] for code, found in severities().items() if found} == {
        code: found for code, found in severities().items() if found
    }
