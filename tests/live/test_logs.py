"""What a real gateway writes: one JSON object a line, no secret in any, gunicorn's access log included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import urllib3

from image_gateway.local.gateway import LocalGateway
from tests.live.conftest import StartGateway

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
LEASE = f"igl~k1~{SECRET}~{SECRET}"
ATOMS = (
    "%(r)s %(f)s %({authorization}i)s %({set-cookie}o)s %({cookie}i)s %({location}o)s %(U)s %(q)s "
    "%({raw_uri}e)s %({http_authorization}e)s %(a)s"
)
HEADERS = {
    "Authorization": f"Bearer {SECRET}",
    "Cookie": f"ImageLease={LEASE}; CloudFront-Signature={SECRET}; session={SECRET}",
    "Referer": f"https://app.example/view?token={SECRET}&lease={LEASE}",
    "User-Agent": f"curl {LEASE}",
    "X-User-Id": "alice",
}
TARGETS = (
    f"/v1/l/{LEASE}/disk.img?token={SECRET}",
    f"/nothing/{LEASE}/x?access_token={SECRET}",
    f"/nothing/{LEASE.replace('~', '%7E')}?X-Amz-Signature={SECRET}",
    f"/v1/images?cursor=igs_{SECRET}",
)


def send_secrets(gateway: LocalGateway) -> int:
    """Send secrets wherever a request can hold them; returns how many requests that were."""
    with urllib3.PoolManager(retries=False) as http:
        for number, target in enumerate(TARGETS):
            headers = {**HEADERS, "X-Request-Id": f"request-{number}"}
            answer = http.request("GET", gateway.url + target, headers=headers)
            assert answer.headers["X-Request-Id"] == f"request-{number}"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
    return len(TARGETS)


def requests_in(log: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["event"] == "request"]
    return [line for line in requests if line["request_id"].startswith("request-")]


def test_logs_hold_no_secret(start: StartGateway, tmp_path: Path) -> None:
    access_log = tmp_path / "access.log"
    gateway = start(
        GUNICORN_CMD_ARGS=f"--access-logfile {access_log} --access-logformat '{ATOMS}'", WEB_WORKERS="1"
    )
    sent = send_secrets(gateway)
    process = gateway.process
    process.wait_until(lambda: len(requests_in(process.log.read_text())) == sent, seconds=10)
    gateway.stop()
    log, accesses = process.log.read_text(), access_log.read_text()
    assert SECRET not in log + accesses
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"gunicorn.error", "image_gateway", "image_gateway.request"} <= {line["logger"] for line in lines}
    assert {line["address"] for line in requests_in(log)} == {"127.0.0.1"}
    assert [line["route"] for line in requests_in(log)][1] == "/nothing/igl~[masked]/x"
    assert accesses.count("igl~[masked]") > sent
    assert len([line for line in accesses.splitlines() if "/readyz" not in line]) == sent


def test_text_for_people(start: StartGateway) -> None:
    gateway = start(LOG_FORMAT="text", WEB_WORKERS="1", GUNICORN_CMD_ARGS="--access-logfile -")
    send_secrets(gateway)
    process = gateway.process
    process.wait_until(
        lambda: process.log.read_text().count("image_gateway.request: request ") > 4, seconds=10
    )
    gateway.stop()
    log = process.log.read_text()
    assert SECRET not in log
    assert '"GET /nothing/igl~[masked]/x?access_token=[masked] HTTP/1.1" 404' in log
    assert "request_id=request-1 method=GET route=/nothing/igl~[masked]/x status=404" in log
