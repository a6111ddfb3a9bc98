"""The pages of guides, on an origin of their own and under the policy that the guide asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.support.documents import blocks_of

BEARER, GATEWAY = "Authorization: `Bearer ${await getToken()}`", "https://gateway.example.com"


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments: object, policy: Callable[[], str], **options: object) -> None:
        self._policy = policy
        super().__init__(*arguments, **options)  # type: ignore[arg-type]

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", self._policy())
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """The test's output is not for requests."""


@contextmanager
def serving_page(folder: Path, policy: Callable[[], str]) -> Iterator[str]:
    """Serve a folder, which is made, with this Content-Security-Policy; gives the origin."""
    folder.mkdir()
    handler = partial(_Handler, directory=str(folder), policy=policy)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def page_of(guide: Path, gateway_url: str, user: str) -> Mapping[str, str]:
    """Return the files of a guide's page by name, for this gateway and a user of AUTH_MODE=dev."""
    (html,) = [block.text for block in blocks_of(guide) if block.language == "html"]
    (script,) = [block.text for block in blocks_of(guide) if block.language == "js"]
    assert BEARER in script
    assert GATEWAY in script
    script = script.replace(BEARER, '"X-User-Id": await getToken()').replace(GATEWAY, gateway_url)
    return {
        # Browsers ask for an icon otherwise.
        "index.html": html.replace("<title>", '<link rel="icon" href="data:,"><title>'),
        "page.js": script,
        "token.js": f'export const getToken = async () => "{user}";\n',
    }
