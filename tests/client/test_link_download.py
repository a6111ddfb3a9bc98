"""`image-gateway download` by a share link or a lease, renewed on the way."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path

import pytest

from image_gateway.client import download as downloading
from image_gateway.client.api import GatewayClient
from image_gateway.client.errors import ApiError
from image_gateway.client.leases import BadLink, Leased, read_link
from tests.client.conftest import Run
from tests.client.fake import RESET, FakeGateway, Fault

DATA = random.Random(7).randbytes(5_500)
TOKEN = f"igs_SECRET{'x' * 37}"


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "RANGE_STEP", 1000)


@pytest.fixture
def image_id(fake: FakeGateway) -> str:
    image_id = fake.add_image("disk", DATA, "0" * 64)
    fake.add_link(image_id, TOKEN)
    fake.tokens = set()
    return image_id


@pytest.fixture
def link(image_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_GATEWAY_LINK", TOKEN)


class Clock:
    """This machine's and the server's, which go alike."""

    def __init__(self, fake: FakeGateway) -> None:
        self.fake, self.now = fake, 0.0

    def __call__(self) -> float:
        return self.now

    def go(self, seconds: float, *, asleep: bool = False) -> None:
        self.now += 0 if asleep else seconds
        self.fake.now += timedelta(seconds=seconds)


@pytest.mark.parametrize("source", ["variable", "file", "stdin"])
def test_a_link_becomes_a_file(
    fake: FakeGateway, run: Run, image_id: str, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_GATEWAY_TOKEN", "somebody")
    (tmp_path / "link").write_text(f"{TOKEN}\n")
    if source == "variable":
        monkeypatch.setenv("IMAGE_GATEWAY_LINK", TOKEN)
    arguments = {"variable": [], "file": ["--link-file", "link"], "stdin": ["--link-file", "-"]}[source]
    ended = run("download", "-o", "back", *arguments, "--json", stdin=f"{TOKEN}\n")
    assert ended.status == 0, ended.err
    answer = json.loads(ended.out)
    assert (answer["imageId"], answer["checked"]) == (image_id, False)
    assert (tmp_path / "back").read_bytes() == DATA
    (lease,) = fake.leases.values()
    sent = {headers.get("Authorization") for path, headers in fake.requests if path.endswith("/range")}
    assert sent == {f"Bearer {lease.token}"}
    assert not any("X-User-Id" in headers for _, headers in fake.requests)
    assert not any("somebody" in str(headers) for _, headers in fake.requests)
    assert not any("igl~" in path or "igs_" in path for path, _ in fake.requests)
    assert "SECRET" not in ended.out + ended.err
    assert "igl~" not in ended.out + ended.err


@pytest.mark.parametrize("form", ["url", "token"])
def test_a_lease_becomes_a_file(
    fake: FakeGateway, run: Run, image_id: str, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = fake.add_lease(image_id)
    fake.now += timedelta(seconds=fake.lease_seconds + 1)
    text = f"{fake.url}/v1/l/{lease.token}/disk.img" if form == "url" else lease.token
    monkeypatch.setenv("IMAGE_GATEWAY_LINK", text)
    # A URL names its gateway itself.
    monkeypatch.setenv("IMAGE_GATEWAY_API", "http://127.0.0.1:1" if form == "url" else fake.url)
    ended = run("download", "-o", "back")
    assert ended.status == 0, ended.err
    assert "not verified: a share link provides no SHA-256" in ended.out
    assert (tmp_path / "back").read_bytes() == DATA
    assert fake.asked.count("renew") == 1


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("fault", [Fault(503), Fault(RESET), Fault(429, {"Retry-After": "0"})])
def test_what_passes_is_tried_again(fake: FakeGateway, run: Run, tmp_path: Path, fault: Fault) -> None:
    for route in ("redeem", "head", "range", "renew"):
        fake.fail(route, fault)
    ended = run("download", "-o", "back")
    assert ended.status == 0, ended.err
    assert (tmp_path / "back").read_bytes() == DATA


@pytest.mark.usefixtures("link")
def test_a_lease_that_lapses_on_the_way_is_renewed(fake: FakeGateway, run: Run, tmp_path: Path) -> None:
    def lapse() -> None:
        if fake.asked.count("range") == 2:
            fake.now += timedelta(seconds=fake.lease_seconds + 5)

    fake.on_range = lapse
    ended = run("download", "-o", "back", "--parallel", "1")
    assert ended.status == 0, ended.err
    assert (tmp_path / "back").read_bytes() == DATA
    assert (fake.asked.count("renew"), fake.asked.count("redeem")) == (1, 1)


@pytest.mark.usefixtures("link")
def test_a_session_that_ends_on_the_way_is_begun_anew_by_the_link(
    fake: FakeGateway, run: Run, tmp_path: Path
) -> None:
    def end() -> None:
        if fake.asked.count("range") == 2:
            fake.now += timedelta(seconds=fake.session_seconds)

    fake.on_range = end
    ended = run("download", "-o", "back", "--parallel", "1")
    assert ended.status == 0, ended.err
    assert (tmp_path / "back").read_bytes() == DATA
    assert fake.asked.count("redeem") == 2


@pytest.mark.usefixtures("link")
def test_a_lease_that_is_revoked_on_the_way_ends_it(fake: FakeGateway, run: Run, tmp_path: Path) -> None:
    def revoke() -> None:
        for lease in fake.leases.values():
            lease.revoked = True

    fake.on_range = revoke
    ended = run("download", "-o", "back", "--parallel", "1")
    assert ended.status == 1
    assert "the gateway answered 403: the lease was revoked" in ended.err
    fake.on_range = lambda: None
    assert json.loads(run("download", "-o", "back", "--json").out)["kept"] == 1000


def test_a_link_that_nobody_made_is_refused_in_the_gateways_words(
    run: Run, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_GATEWAY_LINK", f"{TOKEN}y")
    ended = run("download", "-o", "back")
    assert ended.status == 1
    assert "the gateway answered 404: there is no such share link: [hidden]" in ended.err
    assert "SECRET" not in ended.err


def test_a_lease_is_renewed_before_its_end_by_the_servers_clock(fake: FakeGateway, image_id: str) -> None:
    clock = Clock(fake)
    lease = Leased(read_link(TOKEN, fake.url), clock=clock)
    client = GatewayClient(fake.url, lease)
    clock.go(530)
    client.head_range(image_id)
    assert "renew" not in fake.asked
    clock.go(15)
    client.head_range(image_id)
    assert fake.asked.count("renew") == 1
    clock.go(530)
    client.head_range(image_id)
    assert fake.asked.count("renew") == 1


def test_a_renewal_that_fails_is_forgiven_while_the_lease_holds(fake: FakeGateway, image_id: str) -> None:
    clock = Clock(fake)
    lease = Leased(read_link(TOKEN, fake.url), clock=clock)
    client = GatewayClient(fake.url, lease)
    fake.fail("renew", *[Fault(503)] * 3)
    clock.go(541)
    client.head_range(image_id)
    client.head_range(image_id)
    assert fake.asked.count("renew") == 1
    clock.go(60)
    with pytest.raises(ApiError) as caught:
        client.head_range(image_id)
    assert caught.value.retryable
    fake.forgive("renew")
    client.head_range(image_id)


@pytest.mark.parametrize("seconds", [605, 7200])
def test_a_machine_that_slept_renews_when_it_is_told(fake: FakeGateway, image_id: str, seconds: int) -> None:
    clock = Clock(fake)
    lease = Leased(read_link(TOKEN, fake.url), clock=clock)
    clock.go(seconds, asleep=True)
    etag = fake.images[image_id].etag
    with GatewayClient(fake.url, lease).open_range(image_id, 0, 10, etag) as answer:
        assert answer.data == DATA[:10]
    assert (fake.asked.count("renew"), fake.asked.count("redeem")) == (1, 1)


def test_a_lease_that_always_lapses_is_asked_twice_and_passing(fake: FakeGateway, image_id: str) -> None:
    lapsed = b'{"error": {"code": "LEASE_LAPSED", "message": "the lease has lapsed"}}'
    fake.fail("range", *[Fault(503, {"Retry-After": "2"}, lapsed)] * 9)
    client = GatewayClient(fake.url, Leased(read_link(TOKEN, fake.url)))
    with pytest.raises(ApiError, match="lapsed") as caught:
        client.read_range(image_id, 0, 10)
    assert (caught.value.retryable, caught.value.retry_after) == (True, 2)
    assert (fake.asked.count("range"), fake.asked.count("renew")) == (2, 1)


def test_one_renewal_does_for_all_threads(fake: FakeGateway, image_id: str) -> None:
    lease = Leased(read_link(TOKEN, fake.url))
    used, lapsed = lease.credentials(), ApiError("x", status=503, code="LEASE_LAPSED")
    assert lease.replaces(used, lapsed)
    assert lease.replaces(used, lapsed)
    assert fake.asked.count("renew") == 1
    assert not lease.replaces(used, ApiError("x", status=403, code="LEASE_REVOKED"))
    assert not lease.replaces(used, ApiError("x", status=503, code="S3_UNAVAILABLE"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two words",
        "igl~k~bm9uc2Vuc2U~SECRET",
        "http://x/v1/l/SECRET/disk.img",
        "http://me:SECRET@x/v1/l/igl~k~x~y/disk.img",
        "https://x/SECRET",
        "SECRETä",
    ],
)
def test_what_is_no_link_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(BadLink) as caught:
        read_link(text, "http://x")
    assert "SECRET" not in str(caught.value)
    monkeypatch.setenv("IMAGE_GATEWAY_LINK", text)
    ended = run("download", "-o", "back")
    assert (ended.status, "SECRET" in ended.err) == (78 if text else 2, False)
    ended = run("download", "-o", "back", "--link-file", "-", stdin=text)
    assert (ended.status, "SECRET" in ended.err) == (2, False)


@pytest.mark.usefixtures("link")
def test_an_image_and_a_link_are_one_too_many(fake: FakeGateway, run: Run, image_id: str) -> None:
    assert run("download", image_id, "-o", "back", "--link-file", "-", stdin=TOKEN).status == 2
    assert run("download", "-o", "back", "--link", TOKEN).status == 2
    fake.tokens, fake.images[image_id].sha256 = None, None
    assert run("download", image_id, "-o", "back").status == 0
    assert fake.leases == {}


@pytest.mark.usefixtures("link")
def test_a_link_that_can_be_overheard_is_warned_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_gateway.cli.remote.is_overheard", lambda _: True)
    assert run("download", "-o", "back").err.count("unencrypted") == 1


def test_ctrl_c_tells_the_command_to_go_on_without_the_link(
    fake: FakeGateway, run: Run, image_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").write_text(TOKEN)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(downloading.Downloading, "run", interrupt)
    for source in ("link", "-"):
        ended = run("download", "-o", "back", "--link-file", source, stdin=TOKEN)
        assert ended.status == 130
        assert f"image-gateway download -o back --api {fake.url} --link-file {source}" in ended.err
        assert "SECRET" not in ended.err
