"""The rules for the console's files find what they forbid, and nothing else."""

from __future__ import annotations

import pytest

from tests.support.console_rules import foreign_urls, imports, inline_parts, unsafe_calls

SCRIPT = """
import a from "./a.js";
import {
  b,
} from "./b.js";
export { c } from "./c.js";
import "./d.js";
const e = await import("./e.js");
export const important = "./f.js";
export function f(x) {
  return "from " + x;
}
"""


@pytest.mark.parametrize(
    "text",
    [
        "https://cdn.example.net.evil.test/x.js",
        'fetch("//other.test/x")',
        "url(//other.test/x.png)",
        "new WebSocket('wss://other.test')",
        "http://www.w3.org/TR/x",
        "https://notexample.com/",
        "https://example.com.other.test/",
    ],
)
def test_the_url_of_another_host_is_found(text: str) -> None:
    assert len(foreign_urls(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["http://www.w3.org/2000/svg", "https://disks.example.com/a.img", "// a comment", "`https://${host}/`"],
)
def test_other_text_is_no_url_of_another_host(text: str) -> None:
    assert foreign_urls(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "a.innerHTML = b",
        "eval(x)",
        "new Function('x')",
        "setTimeout('x', 1)",
        "document.write(x)",
        "'javascript:0'",
        "a.setAttribute('style', b)",
        'a.setAttribute("onclick", b)',
        "a.style.cssText = b",
    ],
)
def test_markup_and_code_from_text_are_found(text: str) -> None:
    assert len(unsafe_calls(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "evaluate(x)",
        "setTimeout(() => {}, 1)",
        "a.textContent = b",
        "/** @type {Function} */",
        "a.style.setProperty('width', b)",
        "a.setAttribute('aria-label', b)",
    ],
)
def test_other_calls_are_not(text: str) -> None:
    assert unsafe_calls(text) == []


@pytest.mark.parametrize(
    "page",
    [
        "<script>x</script>",
        "<style>x</style>",
        "<p style='x'>",
        "<p onclick='x'>",
        "<base href='x'>",
        "<iframe srcdoc=x>",
    ],
)
def test_inline_parts_are_found(page: str) -> None:
    assert len(inline_parts(page)) == 1


def test_imports_are_found() -> None:
    assert imports(SCRIPT) == ["./a.js", "./b.js", "./c.js", "./d.js", "./e.js"]
