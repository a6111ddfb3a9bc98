"""What a command of the server says when the database or the store cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.cli.main import main
from image_gateway.local.ports import find_free_ports


@pytest.mark.parametrize(
    ("arguments", "subject"), [(["db", "current"], "database"), (["db", "restored", "--dry-run"], "store")]
)
def test_the_message_names_the_command_that_finds_the_cause(
    arguments: list[str],
    subject: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    catalog, broken = f"sqlite:///{tmp_path}/catalog.db", tmp_path / "broken.db"
    broken.write_bytes(b"not a database" * 100)
    engine = open_engine(catalog)
    upgrade(engine)
    engine.dispose()
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "S3_BUCKET": "images",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "S3_ENDPOINT": f"http://127.0.0.1:{find_free_ports(1)[0]}",
        "DATABASE_URL": f"sqlite:///{broken}" if subject == "database" else catalog,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["image-gateway", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    message = capsys.readouterr().err
    assert message.startswith("image-gateway: the ")
    assert message.endswith(f"\n  to see the cause: image-gateway doctor --only {subject}\n")
