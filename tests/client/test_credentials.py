"""Bearer tokens of the client commands: where they come from, where they go, and where they never show."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from image_gateway.client.api import GatewayClient
from image_gateway.client.credentials import BadToken, TokenFile, bearer, is_overheard
from image_gateway.client.errors import ApiError
from tests.client.conftest import Run
from tests.client.fake import FakeGateway

OLD, NEW = "old.SECRET-1", "new.SECRET-2"
REFUSED = ApiError("no", status=401)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{OLD}\n")
    return path


@pytest.fixture
def by_token(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.tokens = {OLD}
    monkeypatch.setenv("IMAGE_GATEWAY_TOKEN", OLD)


def to_gateway(fake: FakeGateway) -> list[dict[str, str]]:
    return [headers for path, headers in fake.requests if not path.startswith("/store/")]


@pytest.mark.usefixtures("by_token")
def test_the_token_goes_to_the_gateway_alone(
    fake: FakeGateway, run: Run, disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ended = [run("upload", str(disk)), run("images", "list")]
    ended += [run("download", next(iter(fake.images)), "-o", "back")]
    assert [one.status for one in ended] == [0, 0, 0], ended
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()
    assert {headers.get("Authorization") for headers in to_gateway(fake)} == {f"Bearer {OLD}"}
    assert not any("X-User-Id" in headers for headers in to_gateway(fake))
    to_store = [headers for path, headers in fake.requests if path.startswith("/store/")]
    assert len(to_store) == 5
    assert not any("Authorization" in headers or "X-User-Id" in headers for headers in to_store)
    assert "SECRET" not in caplog.text + "".join(one.out + one.err for one in ended)


@pytest.mark.usefixtures("by_token")
def test_a_refusal_hides_the_token_that_it_repeats(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.tokens = set()
    ended = run("upload", str(disk))
    assert ended.status == 1
    assert "the gateway answered 401: the token [hidden] has expired" in ended.err
    assert "SECRET" not in ended.out + ended.err
    assert len(fake.requests) == 1


def test_a_token_refreshed_on_the_way_keeps_an_upload_alive(
    fake: FakeGateway, run: Run, disk: Path, token_file: Path
) -> None:
    fake.tokens, fake.lifetime = {OLD}, 0

    def refresh(number: int) -> None:
        if number == 3:
            fake.tokens = {NEW}
            token_file.write_text(NEW)

    fake.on_put = refresh
    ended = run("upload", str(disk), "--parallel", "1", "--token-file", str(token_file))
    assert ended.status == 0, ended.err
    assert {headers["Authorization"] for headers in to_gateway(fake)} == {f"Bearer {OLD}", f"Bearer {NEW}"}


def test_a_refusal_lets_the_file_be_read_again_once(
    fake: FakeGateway, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A change that neither time nor size nor inode tells.
    monkeypatch.setattr(TokenFile, "_stat", lambda _: (0,))
    client = GatewayClient(fake.url, TokenFile(token_file))
    token_file.write_text(NEW)
    fake.tokens = {NEW}
    assert client.list_images()["images"] == []
    assert len(fake.requests) == 2
    fake.tokens = set()
    token_file.write_text("another")
    with pytest.raises(ApiError) as caught:
        client.list_images()
    assert (caught.value.status, caught.value.retryable) == (401, False)
    assert len(fake.requests) == 4
    # Nothing new in the file: nothing is asked again.
    with pytest.raises(ApiError):
        client.list_images()
    assert len(fake.requests) == 5


def test_a_403_is_not_asked_again(fake: FakeGateway, token_file: Path) -> None:
    source = TokenFile(token_file)
    used = source.credentials()
    token_file.write_text(NEW)
    assert not source.replaces(used, ApiError("no", status=403))
    assert source.replaces(used, REFUSED)


@pytest.mark.parametrize("content", [None, "", "half\nof a\n", "x" * 20_000])
def test_a_file_in_the_middle_of_a_rewrite_leaves_the_token(token_file: Path, content: str | None) -> None:
    source = TokenFile(token_file)
    used = source.credentials()
    if content is None:
        token_file.unlink()
    else:
        token_file.write_text(content)
    assert source.credentials() is used
    assert not source.replaces(used, REFUSED)
    draft = token_file.with_name("draft")
    draft.write_text(NEW)
    draft.replace(token_file)
    assert source.credentials().secret == NEW


def test_a_thread_that_used_the_old_token_may_ask_again(token_file: Path) -> None:
    source = TokenFile(token_file)
    used = source.credentials()
    token_file.write_text(NEW)
    assert source.credentials().secret == NEW
    assert source.replaces(used, REFUSED)


@pytest.mark.parametrize(
    "text", ["", " \n", "SECRET a", "SECRET\r\nX-Admin: 1", "SECRETä", "SECRET\x00", "SECRET\x7f"]
)
def test_what_cannot_stand_in_a_header_is_refused(
    run: Run, token_file: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadToken):
        bearer(text)
    token_file.write_text(text)
    ended = run("images", "list", "--token-file", str(token_file))
    assert (ended.status, "holds no token" in ended.err, "SECRET" in ended.err) == (2, True, False)
    if text.strip() and "\x00" not in text:
        monkeypatch.setenv("IMAGE_GATEWAY_TOKEN", text)
        ended = run("images", "list")
        assert (ended.status, "IMAGE_GATEWAY_TOKEN holds no token" in ended.err) == (78, True)
        assert "SECRET" not in ended.err


def test_a_missing_file_is_wrong_usage(run: Run) -> None:
    ended = run("images", "list", "--token-file", "no/such/file")
    assert (ended.status, "cannot be read: No such file" in ended.err) == (2, True)


def test_the_file_goes_before_the_variable_and_a_name_before_neither(
    fake: FakeGateway, run: Run, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_GATEWAY_TOKEN", NEW)
    fake.tokens = {OLD}
    assert run("images", "list", "--token-file", str(token_file)).status == 0
    assert run("images", "list", "--token-file", str(token_file), "--user", "me").status == 2
    assert run("images", "list", "--user", "me").status == 2
    monkeypatch.setenv("IMAGE_GATEWAY_TOKEN", "")
    fake.tokens = None
    assert run("images", "list", "--user", "me").status == 0


@pytest.mark.usefixtures("by_token")
def test_the_command_to_go_on_holds_no_token(
    fake: FakeGateway, run: Run, disk: Path, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.on_put = lambda _: fake.tokens.clear()
    fake.lifetime = 0
    ended = run("upload", str(disk), "--parallel", "1")
    assert ended.status == 1
    assert f"--resume {next(iter(fake.images))}" in ended.err
    assert "--user" not in ended.err
    monkeypatch.delenv("IMAGE_GATEWAY_TOKEN")
    fake.on_put, fake.tokens = lambda _: None, {OLD}
    ended = run("upload", str(disk), "--token-file", str(token_file))
    assert ended.status == 1
    assert f"--token-file {token_file} --resume" in ended.err


def test_there_is_no_option_for_the_token_itself(run: Run) -> None:
    assert run("images", "list", "--token", OLD).status == 2


@pytest.mark.parametrize(
    ("address", "overheard"),
    [
        ("http://gateway.example:3000", True),
        ("http://10.0.0.1", True),
        ("http://127.0.0.1.example", True),
        ("http://127.0.0.1:3000", False),
        ("http://127.9.9.9", False),
        ("http://[::1]:3000", False),
        ("http://localhost:3000", False),
        ("https://gateway.example", False),
    ],
)
def test_who_can_listen(address: str, overheard: bool) -> None:
    assert is_overheard(address) is overheard


def test_a_token_that_can_be_overheard_is_warned_of_once(
    run: Run, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_gateway.cli.remote.is_overheard", lambda _: True)
    ended = run("images", "list", "--json", "--token-file", str(token_file))
    assert ended.err.count("the token goes to 127.0.0.1 unencrypted") == 1
    assert "unencrypted" not in run("images", "list", "--json").err


def test_the_stamp_tells_a_rewrite_of_equal_time(token_file: Path) -> None:
    source = TokenFile(token_file)
    status = token_file.stat()
    token_file.write_text(f"{NEW}, longer")
    os.utime(token_file, ns=(status.st_atime_ns, status.st_mtime_ns))
    token_file.write_text("x" * 40)
    assert source.credentials().secret == "x" * 40
