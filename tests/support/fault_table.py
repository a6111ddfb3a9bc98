"""How the faults of file servers are written, each as one small deviation from the right server."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.range_server import Change, Request, Respond, Response

Condition = Callable[[Request, Response], bool]


class Faults(dict[str, Change]):
    """Faults by name; a name is the code of a finding, and what stands in brackets tells variants apart."""

    def fault(self, name: str) -> Callable[[Change], Change]:
        """Add the decorated function under this name."""

        def add(change: Change) -> Change:
            assert name not in self
            self[name] = change
            return change

        return add

    def ignoring(self, name: str, header: str) -> None:
        """Add a server that does not know a header of requests."""
        self.fault(name)(lambda request, right: right(request.with_headers(**{header: None})))

    def with_headers(self, name: str, when: Condition, **headers: str | None) -> None:
        """Add a server that changes headers of some responses; None leaves one out."""

        @self.fault(name)
        def change(request: Request, right: Respond) -> Response:
            response = right(request)
            return response.with_headers(**headers) if when(request, response) else response


def reads(request: Request, response: Response) -> bool:
    """Whether it answers a read with what is there."""
    return request.method in ("GET", "HEAD") and response.status in (200, 206, 304, 416)


def partial(_: Request, response: Response) -> bool:
    return response.status == 206


def headed(request: Request, response: Response) -> bool:
    return request.method == "HEAD" and response.status == 200


def preflight(request: Request, _: Response) -> bool:
    return request.method == "OPTIONS"


def actual(request: Request, _: Response) -> bool:
    return request.method != "OPTIONS"
