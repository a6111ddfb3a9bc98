from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from image_gateway.cli.main import main
from tests.client.fake import FakeGateway
from tests.client.fake_server import running_fake

SIZE = 4321


@dataclass(frozen=True)
class Ended:
    """A command that came to its end."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of whoever runs the tests are not for them."""
    for name in ("IMAGE_GATEWAY_TOKEN", "IMAGE_GATEWAY_LINK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    with running_fake() as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Five parts of the fake gateway, the last one short."""
    path = tmp_path / "disk.img"
    path.write_bytes(random.Random(5).randbytes(SIZE))
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "image-gateway" / "uploads"


@pytest.fixture
def run(
    fake: FakeGateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs `image-gateway` in this process against the fake gateway."""
    monkeypatch.setenv("IMAGE_GATEWAY_API", fake.url)
    monkeypatch.setenv("IMAGE_GATEWAY_USER", "me")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str = "") -> Ended:
        monkeypatch.setattr("sys.argv", ["image-gateway", *arguments])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return run
