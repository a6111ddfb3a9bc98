"""`image-gateway verify` over HTTP and on folders: faults, exit statuses, and what is never printed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from image_gateway.client.verify_http import find_urls, shown_url
from image_gateway.client.verify_requests import follow
from image_gateway.protocol.verification import Unreadable
from tests.client.conftest import Ended, Run
from tests.support.static_image import SIZE, Answer, StaticImage, StaticServer, make_image, serving

CHUNK = "chunks/00000001.bin"
SECRET = "s3cret-value"


@pytest.fixture
def server() -> Iterator[StaticServer]:
    with serving(make_image()) as running:
        yield running


def problems(ended: Ended) -> list[tuple[str, str]]:
    return [(problem["where"], problem["check"]) for problem in json.loads(ended.out)["problems"]]


@pytest.mark.parametrize(("name", "read"), [("manifest.json", SIZE), ("disk.img", 2 * SIZE)])
def test_a_url_of_a_manifest_or_a_disk(run: Run, server: StaticServer, name: str, read: int) -> None:
    ended = run("verify", f"{server.url}/{name}?v=1", "--json", "--seed", "4", "--sample", "9")
    assert ended.status == 0, ended.err
    answer = json.loads(ended.out)
    assert answer["target"] == f"{server.url}/{name}"
    assert (answer["ok"], answer["checkedChunks"], answer["checkedBytes"]) == (True, 5, read)
    assert (answer["diskCompared"], answer["seed"]) == (name == "disk.img", 4)
    assert all(path.endswith("?v=1") for path, _ in server.asked)
    assert {headers["accept-encoding"] for _, headers in server.asked if "range" in headers} <= {"identity"}
    assert all("gzip" in headers["accept-encoding"] for _, headers in server.asked if "range" not in headers)


def test_a_disk_without_a_manifest(run: Run, server: StaticServer) -> None:
    del server.image.files["manifest.json"]
    ended = run("verify", f"{server.url}/disk.img")
    assert ended.status == 0, ended.err
    assert "read 1 of 1 ranges of the disk, which has no manifest" in ended.out
    server.image.set_header("disk.img", "Cache-Control", "public")
    assert problems(run("verify", f"{server.url}/disk.img", "--json")) == [
        (f"disk bytes 0-{SIZE - 1}", "cache-control")
    ]


def answers(name: str, status: int, headers: dict[str, str], body: bytes) -> Callable[[StaticServer], None]:
    """Plants an answer for one file; a `range` in its headers is for ranges only."""

    def plant(server: StaticServer) -> None:
        def script(path: str, _: dict[str, str]) -> Answer | None:
            return (status, headers, body) if f"/{name}" in path else None

        server.script = script

    return plant


def header(name: str, title: str, value: str) -> Callable[[StaticServer], None]:
    return lambda server: server.image.set_header(name, title, value)


def compress(server: StaticServer) -> None:
    server.image.files[CHUNK] = gzip.compress(server.image.files[CHUNK])
    server.image.set_header(CHUNK, "Content-Encoding", "gzip")


RANGES = [f"disk bytes {start}-{min(start + 1024, SIZE) - 1}" for start in range(0, SIZE, 1024)]
GOOD = {"Content-Type": "application/octet-stream", "Cache-Control": "no-transform"}
FAULTS: dict[str, tuple[Callable[[StaticServer], Any], list[tuple[str, str]]]] = {
    "flipped byte": (lambda server: server.image.flip(CHUNK), [("chunk 1", "sha256")]),
    "flipped byte of the disk": (lambda server: server.image.flip("disk.img"), [(RANGES[0], "equality")]),
    "missing chunk": (lambda server: server.image.files.pop(CHUNK), [("chunk 1", "missing")]),
    "missing disk": (lambda server: server.image.files.pop("disk.img"), [("disk", "missing")]),
    "type of a chunk": (header(CHUNK, "Content-Type", "text/plain"), [("chunk 1", "content-type")]),
    "type of the manifest": (
        header("manifest.json", "Content-Type", "text/html"),
        [("manifest", "content-type")],
    ),
    "type of the disk": (
        header("disk.img", "Content-Type", "text/html"),
        [(where, "content-type") for where in RANGES],
    ),
    "compressed chunk": (compress, [("chunk 1", "content-encoding")]),
    "compressed manifest": (
        header("manifest.json", "Content-Encoding", "br"),
        [("manifest", "content-encoding")],
    ),
    "transformable chunk": (header(CHUNK, "Cache-Control", "public"), [("chunk 1", "cache-control")]),
    "transformable manifest": (
        header("manifest.json", "Cache-Control", "no-transformation"),
        [("manifest", "cache-control")],
    ),
    "short disk": (
        lambda server: server.image.files.update({"disk.img": server.image.files["disk.img"][:-512]}),
        [("disk", "size")],
    ),
    "disk without ranges": (answers("disk.img", 200, GOOD, b"x" * SIZE), [("disk", "range")]),
    "another range": (
        answers("disk.img", 206, {**GOOD, "Content-Range": f"bytes 1-512/{SIZE}"}, b"x" * 512),
        [("disk", "range")],
    ),
    "part of a chunk": (answers(CHUNK, 206, GOOD, b"x" * 1024), [("chunk 1", "status")]),
    "endless chunk": (answers(CHUNK, 200, GOOD, b"x" * 2**20), [("chunk 1", "size")]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_nothing_else(run: Run, server: StaticServer, fault: str) -> None:
    plant, expected = FAULTS[fault]
    plant(server)
    ended = run("verify", f"{server.url}/disk.img", "--keep-going", "--json")
    assert problems(ended) == expected
    assert json.loads(ended.out)["unreadable"] == []
    assert ended.status == 1
    first = run("verify", f"{server.url}/disk.img", "--parallel", "1")
    assert first.status == 1
    assert first.out.count("wrong: ") == 1
    assert f"wrong: {expected[0][0]}: {expected[0][1]}: " in first.out


@pytest.mark.parametrize(
    "plant",
    [
        answers(CHUNK, 403, {}, SECRET.encode()),
        answers(CHUNK, 401, {}, SECRET.encode()),
        answers(CHUNK, 503, {}, SECRET.encode()),
        answers("manifest.json", 500, {"Content-Type": "application/json"}, SECRET.encode()),
        answers(CHUNK, 200, {**GOOD, "Content-Length": "1024"}, b"short"),
        answers(CHUNK, 302, {"Location": "ftp://host/"}, b""),
        answers(CHUNK, 302, {"Location": "http://[/"}, b""),
        answers(CHUNK, 302, {"Location": "00000001.bin"}, b""),
    ],
    ids=["403", "401", "503", "manifest", "cut off", "ftp", "no URL", "loop"],
)
def test_what_cannot_be_read(run: Run, server: StaticServer, plant: Callable[[StaticServer], None]) -> None:
    plant(server)
    target = f"{server.url}/manifest.json?Signature={SECRET}"
    ended = run(
        "verify", target, "--patience", "0", "--header", f"X-Key: {SECRET}", "--cookie", f"a={SECRET}"
    )
    assert ended.status == 75
    assert "could not be read: " in ended.out
    assert SECRET not in ended.out + ended.err


def test_what_is_wrong_outweighs_what_cannot_be_read(run: Run, server: StaticServer) -> None:
    answers(CHUNK, 403, {}, b"")(server)
    server.image.flip("chunks/00000003.bin")
    ended = run("verify", f"{server.url}/manifest.json", "--keep-going", "--json")
    assert (ended.status, problems(ended)) == (1, [("chunk 3", "sha256")])
    assert [each["where"] for each in json.loads(ended.out)["unreadable"]] == ["chunk 1"]


def test_a_server_that_is_away(run: Run) -> None:
    ended = run("verify", "http://127.0.0.1:1/manifest.json", "--patience", "0")
    assert ended.status == 75
    assert "manifest: unreadable: GET failed" in ended.out


def test_a_server_that_is_busy_for_a_moment(run: Run, server: StaticServer) -> None:
    refusals = [503, 429]

    def script(path: str, _: dict[str, str]) -> Answer | None:
        return (refusals.pop(), {"Retry-After": "0"}, b"") if CHUNK in path and refusals else None

    server.script = script
    assert run("verify", f"{server.url}/manifest.json").status == 0
    assert refusals == []


def test_secrets_go_to_their_origin_only(run: Run, server: StaticServer) -> None:
    with serving(make_image()) as other:

        def script(path: str, headers: dict[str, str]) -> Answer | None:
            if headers.get("x-key") != SECRET or headers.get("cookie") != f"a={SECRET}; b=2":
                return 401, {}, b""
            if CHUNK in path:
                return 307, {"Location": f"{other.url}/{CHUNK}?Signature={SECRET}"}, b""
            return None

        server.script = script
        given = ("--header", f"X-Key: {SECRET}", "--cookie", f"a={SECRET}", "--cookie", "b=2")
        ended = run("verify", f"{server.url}/manifest.json", *given)
        assert ended.status == 0, ended.out
        assert [path for path, _ in other.asked] == [f"/image/v1/{CHUNK}?Signature={SECRET}"]
        assert not {"x-key", "cookie", "x-user-id", "authorization"} & other.asked[0][1].keys()
        assert "x-user-id" not in server.asked[0][1]
        assert SECRET not in ended.out + ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--header", SECRET),
        ("--header", f"X-Key: {SECRET}\r\nX-Other: y"),
        ("--header", f"Range: {SECRET}"),
        ("--cookie", SECRET),
        ("--cookie", f"a={SECRET}; b=2"),
        ("--as", "v86"),
        ("--seed", "1"),
    ],
    ids=lambda arguments: " ".join(arguments).replace(SECRET, "…").strip(),
)
def test_wrong_usage(run: Run, server: StaticServer, arguments: tuple[str, ...]) -> None:
    ended = run("verify", f"{server.url}/manifest.json", *arguments)
    assert (ended.status, server.asked) == (2, [])
    assert SECRET not in ended.out + ended.err


@pytest.mark.parametrize(
    "target",
    [f"http://me:{SECRET}@127.0.0.1/manifest.json", f"http://:80/{SECRET}", f"http://h/{SECRET} x", SECRET],
)
def test_a_target_that_names_nothing(run: Run, target: str) -> None:
    ended = run("verify", target)
    assert ended.status == 2
    assert SECRET not in ended.out + ended.err


def test_as_names_the_clients_that_it_knows(run: Run, server: StaticServer) -> None:
    known = "aero, v86, tinyemu, infinite-mac, webvm, sqlite, raw"
    message = f"'x86' cannot be verified; known clients: {known}"
    assert message in " ".join(run("verify", "x", "--as", "x86").err.split())
    assert run("verify", f"{server.url}/manifest.json", "--as", "aero").status == 0


def test_a_folder(run: Run, tmp_path: Path) -> None:
    image: StaticImage = make_image()
    folder = str(image.write_to(tmp_path / "image"))
    ended = run("verify", folder, "--sample", "3", "--seed", "7")
    assert ended.status == 0, ended.err
    assert "read 3 of 5 chunks (seed 7) and compared with the disk" in ended.out
    assert run("verify", folder, "--as", "aero").status == 2
    (tmp_path / "image" / CHUNK).unlink()
    assert run("verify", folder).status == 1
    (tmp_path / "image" / "manifest.json").unlink()
    assert run("verify", folder).status == 75


def test_an_image_id_that_the_gateway_does_not_know(run: Run) -> None:
    ended = run("verify", "6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10", "--json", "--patience", "0")
    assert ended.status == 75
    assert [each["where"] for each in json.loads(ended.out)["unreadable"]] == ["target"]


def test_urls_are_shown_without_secrets() -> None:
    assert shown_url("https://u:p@host:8443/v1/l/igl~abc/manifest.json?token=x") == (
        "https://host:8443/v1/l/[hidden]/manifest.json"
    )
    urls = find_urls(f"https://host/v1/l/{SECRET}/disk.img?token={SECRET}")
    assert urls.manifest == f"https://host/v1/l/{SECRET}/manifest.json?token={SECRET}"
    assert SECRET not in repr(urls)
    assert find_urls("http://h/v1/images/7/range").manifest == "http://h/v1/images/7/chunked/manifest"


def test_a_redirect_never_leaves_tls() -> None:
    assert follow("https://a/x", "//b/y") == "https://b/y"
    with pytest.raises(Unreadable, match="from https to http"):
        follow("https://a/x", "http://a/y")
