"""What one host did holds on the other: permissions, sessions, uploads, quotas, rate limits, jobs."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle

import pytest

from image_gateway.client.api import ApiError, GatewayClient
from image_gateway.client.jobs import JobsClient
from image_gateway.local.processes import ManagedProcess
from tests.live.edge import test_permissions as edge_permissions
from tests.live.edge.conftest import DATA, Pair
from tests.live.hosts.conftest import MOST_IMAGES, MOST_LEASES, STATED, Host, Hosts
from tests.support.job_client import wait_for_jobs

READ = {"Range": "bytes=100-199"}
BOUND = 30


def until(condition: Callable[[], bool], what: str, seconds: float = BOUND) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: still not after {seconds} s"
        time.sleep(0.05)


def status_of(pair: Pair, user: str, image_id: str, *, direct: bool = True) -> int:
    path = f"/v1/images/{image_id}/range"
    return pair.ask("GET", path, {"X-User-Id": user, **READ}, direct=direct).status


def test_hosts_share_no_folder(hosts: Hosts) -> None:
    for host, other in ((hosts.first, hosts.second), (hosts.second, hosts.first)):
        assert len(list((host.folder / "tmp").glob("image-gateway-metrics-*"))) == 1
        assert str(other.folder) not in json.dumps(host.environment)


def test_a_changed_permission_is_seen_by_both_hosts_and_through_nginx(hosts: Hosts, owner: str) -> None:
    """Each change is made on one host; readers have just been answered by both, and remembered."""
    first, second = hosts.pair(hosts.first), hosts.pair(hosts.second)
    image_id = first.make_image(owner)
    client, other_client = hosts.first.client(owner), hosts.second.client(owner)

    def all_see(status: int, user: str) -> None:
        until(lambda: status_of(first, user, image_id) == status, f"first host: {status}", STATED)
        until(lambda: status_of(second, user, image_id) == status, f"second host: {status}", STATED)
        until(
            lambda: [status_of(first, user, image_id, direct=False) for _ in range(2)] == [status] * 2,
            f"nginx: {status}",
            STATED,
        )

    all_see(403, "friend")
    client.change_image(image_id, visibility="shared")
    client.share(image_id, "friend", "read")
    all_see(206, "friend")
    other_client.unshare(image_id, "friend")
    all_see(403, "friend")
    other_client.change_image(image_id, visibility="public")
    all_see(206, "stranger")
    client.change_image(image_id, visibility="private")
    all_see(403, "stranger")


@pytest.mark.parametrize("number", [0, 1])
def test_what_is_taken_back_ends_through_nginx_within_the_stated_time(
    hosts: Hosts, owner: str, number: int
) -> None:
    pair = hosts.pair((hosts.first, hosts.second)[number])
    edge_permissions.test_what_is_taken_back_ends_through_nginx_within_the_stated_time(pair, owner)


def test_a_lease_of_one_host_is_revoked_on_the_other(hosts: Hosts, owner: str) -> None:
    first, second = hosts.pair(hosts.first), hosts.pair(hosts.second)
    image_id = first.make_image(owner)
    lease = hosts.first.client(owner).send_json("POST", "/v1/leases", {"imageId": image_id})
    path = f"/v1/l/{lease['token']}/disk.img"
    for pair in (first, second):
        answer = pair.ask("GET", path, READ, direct=True)
        assert (answer.status, answer.body) == (206, DATA[100:200])
    hosts.second.client(owner).send_json("DELETE", f"/v1/leases/{lease['leaseId']}")
    for pair in (first, second):
        until(lambda pair=pair: pair.ask("GET", path, READ, direct=True).status == 403, "revoked", STATED)


def test_a_session_is_valid_on_both_hosts_and_ends_on_both_at_once(hosts: Hosts, owner: str) -> None:
    first, second = hosts.pair(hosts.first), hosts.pair(hosts.second)
    page = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
    body = json.dumps({"user": owner}).encode()
    signed_in = first.ask("POST", "/login", page, body=body, direct=True)
    signed = {**page, "Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    for pair in (first, second):
        answer = pair.ask("GET", "/v1/me", signed, direct=True)
        assert (answer.status, json.loads(answer.body)["user"]) == (200, owner)
    assert second.ask("POST", "/logout", signed, direct=True).status == 200
    assert [pair.ask("GET", "/v1/me", signed, direct=True).status for pair in (first, second)] == [401, 401]


def test_an_upload_goes_on_at_the_other_host_and_is_completed_once(hosts: Hosts, owner: str) -> None:
    first, second = hosts.first.client(owner), hosts.second.client(owner)
    part = 5 * 1024 * 1024
    data = (DATA * (part // len(DATA) + 1))[:part] + DATA
    upload = first.create_image(name="disk", sizeBytes=len(data), filename="disk.img")
    blocks = {1: data[:part], 2: data[part:]}
    etags = {number: first.put_part(second.sign_part(upload, number), blocks[number]) for number in blocks}
    assert [stored.number for stored in first.upload_status(upload.image_id).parts] == [1, 2]
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(client.complete, upload, etags) for client in (first, second) * 2]
        records = [call.result(BOUND) for call in calls]
    assert records[1:] == records[:-1]
    assert second.image(upload.image_id)["state"] == "complete"
    assert second.read_range(upload.image_id, 0, len(data)) == data
    assert first.send_json("GET", "/v1/usage")["images"]["used"] == 1


def test_a_quota_holds_when_both_hosts_are_asked_at_once(hosts: Hosts, owner: str) -> None:
    def create(client: GatewayClient) -> str:
        try:
            return client.create_image(name="disk", sizeBytes=10, filename="disk.img").image_id and "created"
        except ApiError as error:
            return str(error.code)

    clients = [host.client(owner) for host in (hosts.first, hosts.second)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = Counter(pool.map(create, clients * MOST_IMAGES))
    assert outcomes == {"created": MOST_IMAGES, "QUOTA_EXCEEDED": MOST_IMAGES}
    assert clients[0].send_json("GET", "/v1/usage")["images"]["used"] == MOST_IMAGES


def lease_statuses(hosts: Hosts, owner: str, image_id: str, times: int) -> list[int]:
    """Ask both hosts for leases in turn."""
    body, headers = json.dumps({"imageId": image_id}).encode(), {"X-User-Id": owner}
    headers["Content-Type"] = "application/json"
    pairs = cycle([hosts.pair(hosts.first), hosts.pair(hosts.second)])
    return [
        next(pairs).ask("POST", "/v1/leases", headers, body=body, direct=True).status for _ in range(times)
    ]


def test_both_hosts_count_rate_limits_together_and_go_on_without_redis(hosts: Hosts, owner: str) -> None:
    image_id = hosts.pair(hosts.first).make_image(owner)
    statuses = lease_statuses(hosts, owner, image_id, MOST_LEASES + 2)
    assert statuses == [200] * MOST_LEASES + [429] * 2
    hosts.redis.kill()
    began = time.monotonic()
    # Each host counts by itself now: as many again on each.
    statuses = lease_statuses(hosts, owner, image_id, 2 * MOST_LEASES + 2)
    assert statuses == [200] * 2 * MOST_LEASES + [429] * 2
    assert time.monotonic() - began < BOUND
    for host in (hosts.first, hosts.second):
        assert host.log.count("Rate limit storage unreachable") == 1
    hosts.redis.start()

    def counts_in_redis(host: Host) -> bool:
        user = f"user-{uuid.uuid4()}"
        status = hosts.pair(host).ask("POST", "/v1/images", {"X-User-Id": user}, direct=True).status
        assert status == 200
        return any(user in key for key in hosts.redis.key_names())

    for host in (hosts.first, hosts.second):
        until(lambda host=host: counts_in_redis(host), "counting in Redis again")


class Source(BaseHTTPRequestHandler):
    """Sends half of a file, and the rest when the test wants it."""

    protocol_version = "HTTP/1.1"
    data = DATA * 16
    released = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()
        half = len(self.data) // 2
        self.wfile.write(self.data[:half])
        self.wfile.flush()
        if self.released.wait(BOUND):
            self.wfile.write(self.data[half:])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def source() -> Iterator[str]:
    Source.released.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Source) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/disk.raw"
        Source.released.set()
        server.shutdown()


def test_a_job_of_a_host_that_dies_is_finished_by_the_other(hosts: Hosts, owner: str, source: str) -> None:
    with ThreadPoolExecutor() as pool:
        workers = list(pool.map(Host.start_worker, (hosts.first, hosts.second)))
    client = hosts.first.client(owner)
    image_id = JobsClient(client).import_url(source, format="raw")["imageId"]

    def has_begun(worker: ManagedProcess) -> bool:
        return "job started" in worker.log.read_text()

    until(lambda: any(map(has_begun, workers)), "a worker has the job")
    busy, idle = sorted(workers, key=has_begun, reverse=True)
    assert not has_begun(idle)
    busy.kill()
    Source.released.set()
    assert wait_for_jobs(client, image_id, BOUND)["state"] == "done"
    assert has_begun(idle)
    idle.kill()
    assert client.read_range(image_id, 0, len(Source.data)) == Source.data


def test_reads_go_on_when_a_host_dies(hosts: Hosts, owner: str) -> None:
    through = hosts.pair(hosts.first)
    image_id = through.make_image(owner)
    path, reader = f"/v1/images/{image_id}/range", {"X-User-Id": owner}
    problems: list[object] = []
    stop, reads = threading.Event(), Counter[str]()

    def read(method: str, headers: dict[str, str], status: int) -> None:
        """nginx answers a GET by a permission of either host, and passes a HEAD on to one."""
        while not stop.wait(0.01):
            answer = through.ask(method, path, {**reader, **headers})
            if answer.status != status or (method == "GET" and answer.body != DATA[100:200]):
                problems.append((method, answer.status, answer.code))
            reads[method] += 1

    threads = [
        threading.Thread(target=read, args=arguments) for arguments in (("GET", READ, 206), ("HEAD", {}, 200))
    ]
    for thread in threads:
        thread.start()
    try:
        until(lambda: min(reads["GET"], reads["HEAD"]) > 5, "reads before")
        hosts.second.gateway.process.kill()
        before = dict(reads)
        until(lambda: all(reads[method] > before[method] + 20 for method in before), "reads after")
    finally:
        stop.set()
        for thread in threads:
            thread.join(BOUND)
        hosts.second.start()
    assert problems == []
    assert status_of(hosts.pair(hosts.second), owner, image_id) == 206
