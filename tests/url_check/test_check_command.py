"""`image-gateway check` as people and scripts use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from image_gateway.cli.check import check
from tests.support.byte_server import ByteServer, serving_bytes

SIZE = 5000
DATA = bytes(range(250)) * 20
LEASE = "igl~k1.secretleasetoken"


def serve_file(request: bytes) -> Iterator[bytes]:
    """A file with ranges, HEAD and an ETag; no CORS, and it ignores conditional requests."""
    spec = re.search(rb"Range: bytes=(\d*)-(\d*)", request)
    first, last, status = 0, SIZE - 1, "200 OK"
    if spec and b"," not in request.partition(b"Range:")[2].partition(b"\r\n")[0]:
        first = int(spec[1]) if spec[1] else max(SIZE - int(spec[2]), 0)
        last = min(int(spec[2] or SIZE), SIZE - 1) if spec[1] else SIZE - 1
        status = f"206 Partial Content\r\nContent-Range: bytes {first}-{last}/{SIZE}"
    if first > last or first >= SIZE:
        first, last = 1, 0
        status = f"416 Range Not Satisfiable\r\nContent-Range: bytes */{SIZE}"
    yield (
        f"HTTP/1.1 {status}\r\nContent-Length: {last - first + 1}\r\nAccept-Ranges: bytes\r\n"
        'ETag: "v1"\r\nLast-Modified: Sun, 22 Nov 2026 00:00:00 GMT\r\nCache-Control: no-transform\r\n\r\n'
    ).encode()
    if not request.startswith(b"HEAD"):
        yield DATA[first : last + 1]


def echo(request: bytes) -> Iterator[bytes]:
    """A server that repeats all that it was sent in every header that a check shows."""
    line, *lines = request.decode().split("\r\n")
    given = " ".join([line.split(" ")[1], *(text.partition(": ")[2] for text in lines)])
    names = ("ETag", "Content-Type", "Cache-Control", "Content-Range", "Access-Control-Allow-Origin")
    headers = "".join(f"{name}: {given}\r\n" for name in names)
    yield f"HTTP/1.1 200 {given}\r\nContent-Length: 3\r\n{headers}\r\n{given[:3]}".encode()


@pytest.fixture
def server() -> Iterator[ByteServer]:
    with serving_bytes(serve_file) as running:
        yield running


def run(*arguments: str) -> Result:
    return CliRunner().invoke(check, arguments, prog_name="image-gateway check")


def test_facts_findings_and_verdicts(server: ByteServer) -> None:
    ended = run(f"{server.url}/disk.img")
    assert ended.exit_code == 1, ended.output
    facts, checks, table, summary = re.split(r"\n\n", ended.output.strip())
    assert f"{server.url}/disk.img: file, read by ranges" in facts
    assert f"  Size: {SIZE} bytes\n" in facts
    assert "  Ranges: yes\n" in facts
    assert "FAIL validators: If-Range: If-Range with another ETag was answered with HTTP 206" in checks
    assert "warn validators: If-None-Match: " in checks
    assert "why: RFC 9110 13.1.5: a resumed download mixes two versions" in checks
    rows = {line.split()[0]: line for line in table.splitlines()}
    assert " works on pages of the same origin only " in rows["v86"]
    assert re.fullmatch(r"qemu +works *", rows["qemu"])
    assert re.match(r"1 broken, 3 warnings \(\d+ checks, \d+ skipped\); \d+ requests, ", summary)


def test_a_disk_without_a_manifest_beside_it() -> None:
    def refuse(_request: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    with serving_bytes(refuse) as server:
        ended = run(f"{server.url}/disk.img", "--chunked")
    assert "FAIL read: status: GET of manifest.json was answered with HTTP 404" in ended.output
    assert "\n1 broken, 0 warnings (2 checks); 1 request, 0 bytes read\n" in ended.output


def test_one_client(server: ByteServer) -> None:
    assert run(f"{server.url}/disk.img", "--as", "qemu", "--strict").exit_code == 0
    ended = run(f"{server.url}/disk.img", "--as", "v86")
    assert ended.exit_code == 1
    assert "[cors-origin-missing]" in ended.output
    # A page of the URL's own origin needs no permission.
    same = run(f"{server.url}/disk.img", "--as", "v86", "--origin", f"{server.url}/", "--strict")
    assert same.exit_code == 0, same.output
    assert run(f"{server.url}/disk.img", "--as", "browser", "--origin", server.url).exit_code == 0
    assert run(f"{server.url}/disk.img", "--as", "browser", "--origin", server.url, "--strict").exit_code == 2


def test_json(server: ByteServer) -> None:
    ended = run(f"{server.url}/disk.img?x=1", "--json", "--origin", "https://Page.example.com")
    answer = json.loads(ended.output)
    assert ended.exit_code == 1
    assert answer["url"] == f"{server.url}/disk.img"
    assert (answer["kind"], answer["client"], answer["ok"]) == ("file", None, False)
    assert answer["origin"] == "https://page.example.com"
    assert answer["facts"]["Pages"] == "https://page.example.com may not read it"
    assert {"code", "severity", "what", "why", "remedy", "breaks"} == answer["findings"][0].keys()
    assert [each["client"] for each in answer["clients"] if each["verdict"] == "works"] == ["qemu", "aria2"]
    assert 0 < answer["bytesRead"] < 20 * SIZE
    assert answer["requests"] == len(server.asked)


def test_the_origin_and_the_headers_are_sent(server: ByteServer) -> None:
    run(f"{server.url}/disk.img", "--origin", "https://page.example.com", "--header", "X-Key: abcdef")
    preflights = [request for request in server.asked if request.startswith(b"OPTIONS")]
    assert b"Access-Control-Request-Headers: range,x-key" in preflights[0]
    assert all(b"X-Key: abcdef" not in request for request in preflights)
    reads = [request for request in server.asked if not request.startswith(b"OPTIONS")]
    # One read tries what happens without it.
    assert sum(b"X-Key: abcdef" not in request for request in reads) == 1
    assert any(b"Origin: https://page.example.com" in request for request in reads)


def test_the_default_port_is_no_part_of_an_origin(server: ByteServer) -> None:
    ended = run(f"{server.url}/disk.img", "--origin", "https://page.example.com:443", "--json")
    assert json.loads(ended.output)["origin"] == "https://page.example.com"
    assert all(b"page.example.com:443" not in request for request in server.asked)


@pytest.mark.parametrize("options", [(), ("--json",), ("--as", "v86"), ("--chunked",)])
def test_secrets_are_not_shown_even_if_the_server_repeats_them(options: tuple[str, ...]) -> None:
    secrets = ("q-signature", "bearer-token", "cookie-value", "secretleasetoken")
    with serving_bytes(echo) as server:
        ended = run(
            f"{server.url}/v1/l/{LEASE}/disk.img?X-Amz-Signature={secrets[0]}",
            "--header",
            f"Authorization: Bearer {secrets[1]}",
            "--cookie",
            f"session={secrets[2]}",
            *options,
        )
        assert any(secrets[1].encode() in request for request in server.asked)
    assert ended.exit_code == 1
    assert [secret for secret in secrets if secret in ended.output] == []


def repeat(text: str) -> Callable[[bytes], Iterator[bytes]]:
    """A server whose headers hold a text."""

    def answer(_: bytes) -> Iterator[bytes]:
        names = ("ETag", "Content-Type", "Cache-Control", "Content-Range", "Access-Control-Allow-Origin")
        headers = "".join(f"{name}: {text}\r\n" for name in names)
        yield f"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n{headers}\r\nabc".encode()

    return answer


@pytest.mark.parametrize(
    ("url", "header", "repeated"),
    [
        ("?sig=abc%2Fdefghi%3D", "", "abc%2Fdefghi%3D"),
        ("?sig=abc%2Fdefghi%3D", "", "abc/defghi="),
        ("?token=" + "t0psecret" * 40, "", "t0psecret" * 40),
        ("?token=" + "t0psecret" * 40, "", "x" * 60 + "t0psecret" * 40),
        ("?token=t0p%27secret%22%5Cvalue", "", "t0p'secret\"\\value"),
        ("", "Cookie: a=1; session=t0psecretvalue; b=2", "t0psecretvalue"),
        ("", "Authorization: Bearer " + "t0psecret" * 40, "t0psecret" * 40),
        ("", "Authorization: Basic dXNlcjp0MHBzZWNyZXR2YWx1ZQ==", "t0psecretvalue"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_parts_of_secrets_are_not_shown(url: str, header: str, repeated: str, *, as_json: bool) -> None:
    options = [*(("--header", header) if header else ()), *(("--json",) if as_json else ())]
    with serving_bytes(repeat(repeated)) as server:
        ended = run(f"{server.url}/disk.img{url}", *options)
    assert "[hidden]" in ended.output
    assert [part for part in ("t0psec", "t0p'", "defghi") if part in ended.output] == []


def test_the_secret_of_a_redirect_is_not_shown() -> None:
    def answer(request: bytes) -> Iterator[bytes]:
        if b"/signed" in request:
            yield b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: "t0psecretvalue"\r\n\r\nabc'
        else:
            to = b"/signed?X-Amz-Signature=t0psecretvalue"
            yield b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + to + b"\r\n\r\n"

    with serving_bytes(answer) as server:
        ended = run(f"{server.url}/disk.img")
    assert "t0psecret" not in ended.output
    assert 'ETag: "[hidden]"' in ended.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ftp://host/disk",), "URL must be an http or https URL, like"),
        (("https://user:password@host/disk",), "must not hold a user name or password"),
        (("https://host/disk#part",), "URL must not have a fragment (#…)"),
        (("https://host/gro\u00dfe",), "URL must be in ASCII: percent-encode what is not"),
        (("https://host/a disk",), "URL must be in ASCII: percent-encode what is not"),
        (("https://host/", "--as", "nobody"), "'nobody' is not one of"),
        (("https://host/", "--origin", "page.example"), "'page.example' is not an origin such as"),
        (("https://host/", "--as", "qemu", "--chunked"), "--chunked cannot be combined with --as qemu"),
        (("https://host/", "--header", "Range: bytes=0-1"), "Range cannot be set"),
        (("https://host/", "--max-bytes", "0"), "0 is not in the range"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 2
    assert message in re.sub(r"\s+", " ", ended.output)
    assert "password@" not in ended.output
