"""Pages of other origins in the browser of a person who is signed in change nothing and read nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect

from tests.live.console.conftest import OpenBrowser
from tests.support.catalog_rows import catalog_rows
from tests.support.console_browser import ConsoleBrowser
from tests.support.console_images import put_image
from tests.support.sample_disks import SampleDisks

NAME = "The victim's disk"
# Ports do not make a site: the second one gets and sends the cookies of the console.
SITES = {"another site": "localhost", "the same site": "127.0.0.1"}
# What each route would take, if the console sent it.
POSTS: dict[str, Any] = {
    "/v1/images": {"name": "forged"},
    "/v1/images/empty": {"sizeBytes": 512},
    "/v1/images/{id}/shares": {"user": "mallory"},
    "/v1/images/{id}/share-links": {},
    "/v1/images/{id}/publish": {},
    "/v1/leases": {"imageId": "{id}"},
    "/login": {"user": "mallory"},
    "/logout": {},
}
OTHER_CHANGES = (
    ("PATCH", "/v1/images/{id}", {"visibility": "public"}),
    ("DELETE", "/v1/images/{id}", None),
)
PRIVATE = (
    "/v1/me",
    "/v1/images",
    "/v1/images/{id}",
    "/v1/images/{id}/range",
    "/v1/images/{id}/stream-url",
    "/v1/images/{id}/lease",
    "/v1/images/{id}/shares",
    "/v1/images/{id}/activity",
)
FORM = """
([url, enctype, fields]) => {
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const form = make("form", { method: "post", action: url, enctype, target: "window" });
  form.append(...fields.map(([name, value]) => make("input", { name, value })));
  document.body.append(form);
  form.submit();
}
"""
REQUEST = """
(requests) => Promise.all(requests.map(async ([url, options]) => {
  try {
    const response = await fetch(url, { credentials: "include", ...options });
    return { type: response.type, status: response.status, text: await response.text() };
  } catch (error) {
    return { type: "blocked", status: 0, text: "" };
  }
}))
"""
BEACON = "([url, body]) => navigator.sendBeacon(url, body)"
EMBED = """
([tag, attribute, url]) => new Promise((resolve) => {
  const made = document.createElement(tag);
  for (const event of ["load", "loadeddata", "error"]) made.addEventListener(event, () => resolve(event));
  made[attribute] = url;
  if (tag === "link") made.rel = "stylesheet";
  document.body.append(made);
})
"""
EMBEDDED = (("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("video", "src"))


class Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'<!doctype html><title>Elsewhere</title><link rel="icon" href="data:,"><body></body>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of a server of other people's pages."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


class Attack:
    """A page of another origin in the browser of a victim, who is signed in and has an image."""

    def __init__(self, victim: ConsoleBrowser, image_id: str, origin: str, database_url: str) -> None:
        self.victim = victim
        self._image_id = image_id
        self._database_url = database_url
        self.page: Page = victim.context.new_page()
        self.page.goto(origin)
        self.answers: list[Response] = []
        victim.context.on("response", self._note)
        self._before = self._rows()

    def _rows(self) -> list[str]:
        """What the catalog has of the victim; the worker may be at images of other tests."""
        own = (str(self.victim.user), self._image_id)
        return [row for row in catalog_rows(self._database_url) if any(name in row for name in own)]

    def _note(self, response: Response) -> None:
        if response.url.startswith(self.victim.url):
            self.answers.append(response)

    def url(self, path: str) -> str:
        return self.victim.url + path.replace("{id}", self._image_id)

    def body(self, value: object) -> str:
        return json.dumps(value).replace("{id}", self._image_id)

    def send(self, *requests: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Let the page fetch with the victim's credentials, and return what it can see of the answers."""
        answers: list[dict[str, Any]] = self.page.evaluate(
            REQUEST, [(self.url(path), options) for path, options in requests]
        )
        return answers

    def assert_nothing_happened(self) -> None:
        """Everything is as it was, and all that came was refused."""
        assert [answer.url for answer in self.answers if answer.ok] == []
        assert self._rows() == self._before
        me = self.victim.context.request.get("/v1/me")
        assert me.json()["user"] == self.victim.user


@pytest.fixture(params=SITES.values(), ids=SITES)
def attack(
    request: pytest.FixtureRequest,
    console: ConsoleBrowser,
    console_environment: dict[str, str],
    disks: SampleDisks,
    elsewhere: int,
) -> Attack:
    console.problems.allow("")
    image_id = put_image(console.client, disks.iso, NAME)
    # What the victim's own page asks for must not count.
    console.open("/").wait_for_load_state("networkidle")
    origin = f"http://{request.param}:{elsewhere}"
    return Attack(console, image_id, origin, console_environment["DATABASE_URL"])


def test_forms_change_nothing(attack: Attack) -> None:
    attack.page.evaluate("void window.open('about:blank', 'window')")
    for path, value in POSTS.items():
        text = attack.body({**value, "padding": "="})
        name, _, rest = text.partition("=")
        forms = {
            "application/x-www-form-urlencoded": list(value.items()),
            # What is sent as text is the JSON that the route takes.
            "text/plain": [(name, rest)],
            "multipart/form-data": list(value.items()),
        }
        for enctype, fields in forms.items():
            url = attack.url(path)
            with attack.victim.context.expect_event("response", lambda got, url=url: got.url == url):
                attack.page.evaluate(FORM, [url, enctype, fields])
    assert len(attack.answers) == 3 * len(POSTS)
    attack.assert_nothing_happened()


def test_scripts_change_nothing(attack: Attack, open_browser: OpenBrowser) -> None:
    posts = [("POST", path, value) for path, value in POSTS.items()]
    requests = []
    for method, path, value in [*posts, *OTHER_CHANGES]:
        body = {} if value is None else {"body": attack.body(value)}
        as_json = {"headers": {"Content-Type": "application/json"}}
        requests += [(path, {"method": method, "mode": "cors", **as_json, **body})]
        if method == "POST":
            requests += [(path, {"method": method, "mode": mode, **body}) for mode in ("cors", "no-cors")]
    seen = attack.send(*requests)
    assert {answer["type"] for answer in seen} <= {"blocked", "opaque"}
    for path, value in POSTS.items():
        assert attack.page.evaluate(BEACON, [attack.url(path), attack.body(value)])
    attack.assert_nothing_happened()

    # The same requests of the console's own page are carried out.
    victim = attack.victim
    own = [(path, options) for path, options in requests if "headers" in options and path.startswith("/v1")]
    answers = victim.page.evaluate(REQUEST, [(attack.url(path), options) for path, options in own])
    assert {answer["status"] for answer in answers} <= {200, 201, 202, 404, 409}
    assert victim.client.list_images(name="forged")["images"] != []


def test_scripts_read_nothing(attack: Attack) -> None:
    for options in ({"mode": "cors"}, {"mode": "no-cors"}, {"mode": "cors", "credentials": "omit"}):
        for answer in attack.send(*[(path, options) for path in PRIVATE]):
            assert answer["type"] in ("blocked", "opaque") or answer["status"] == 401
            assert NAME not in answer["text"]
    assert len(attack.answers) >= len(PRIVATE)
    attack.assert_nothing_happened()
    own = attack.victim.page.evaluate(REQUEST, [(attack.url(path), {}) for path in PRIVATE])
    assert {answer["status"] for answer in own} == {200}


def test_what_is_embedded_or_navigated_to_reads_nothing(attack: Attack) -> None:
    for path in PRIVATE:
        for tag, attribute in EMBEDDED:
            outcome = attack.page.evaluate(EMBED, [tag, attribute, attack.url(path)])
            # A frame loads the refusal.
            assert outcome == ("load" if tag == "iframe" else "error")
        with attack.victim.context.expect_page() as opened:
            attack.page.evaluate("(url) => void window.open(url)", attack.url(path))
        opened.value.wait_for_load_state()
        assert "UNAUTH" in opened.value.content()
        opened.value.close()
    attack.assert_nothing_happened()


def test_the_console_cannot_be_framed(attack: Attack) -> None:
    for path in ("/", "/images/{id}", "/open/{id}", "/link"):
        attack.page.evaluate(EMBED, ["iframe", "src", attack.url(path)])
    frames = attack.page.frames[1:]
    assert len(frames) == 4
    assert {frame.url for frame in frames} == {"chrome-error://chromewebdata/"}


def test_a_page_that_opens_the_console_has_no_hold_of_it(attack: Attack) -> None:
    with attack.victim.context.expect_page() as opened:
        attack.page.evaluate("(url) => { window.opened = window.open(url); }", attack.url("/"))
    # A link from elsewhere leads a person to what is theirs.
    expect(opened.value.get_by_role("link", name=NAME)).to_be_visible()
    assert opened.value.evaluate("window.opener") is None
    assert attack.page.evaluate("window.opened.closed")
