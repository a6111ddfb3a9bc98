"""Runs `image-gateway verify --as` on spoiled views, and plants the faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.client.conftest import Ended, Run
from tests.support.static_image import IMMUTABLE, Answer, StaticServer
from tests.support.static_views import ROOT, URLS, change_document, put

Plant = Callable[[StaticServer], None]
Found = set[tuple[str, str]]


def verify(run: Run, server: StaticServer, view: str, *options: str) -> Ended:
    url = f"{server.url}/{ROOT}/{URLS[view]}"
    return run("verify", url, "--as", view.split()[0], "--patience", "0", "--json", *options)


def found(ended: Ended) -> Found:
    answer = json.loads(ended.out)
    assert answer["unreadable"] == []
    assert ended.status == (1 if answer["problems"] else 0), ended.out
    return {(problem["where"].rpartition("/")[2], problem["check"]) for problem in answer["problems"]}


def base(name: str) -> str:
    return name.rpartition("/")[2]


def answer_with(name: str, status: int, body: bytes, **headers: str) -> Plant:
    """Plants an answer for one file."""

    def plant(server: StaticServer) -> None:
        given = {title.replace("_", "-"): value for title, value in headers.items()}

        def script(path: str, _: dict[str, str]) -> Answer | None:
            if not path.endswith(f"/{name}"):
                return None
            return status, {"Cache-Control": IMMUTABLE, **given}, body

        server.script = script

    return plant


def header(name: str, title: str, value: str) -> Plant:
    return lambda server: server.image.set_header(f"{ROOT}/{name}", title, value)


def replace(name: str, change: Callable[[bytes], bytes]) -> Plant:
    return lambda server: put(server.image, name, change(server.image.files[f"{ROOT}/{name}"]))


def document(view: str, **changes: Any) -> Plant:
    return lambda server: change_document(server.image, view, **changes)


def remove(name: str) -> Plant:
    def plant(server: StaticServer) -> None:
        del server.image.files[f"{ROOT}/{name}"]

    return plant
