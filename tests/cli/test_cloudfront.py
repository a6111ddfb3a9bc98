"""`image-gateway cloudfront keygen`: what it writes and prints."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from image_gateway.cdn.keys import load_signing_key
from image_gateway.cli.main import cli


def test_keys_are_written_privately_and_only_the_public_one_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "new keys"
    result = CliRunner().invoke(cli, ["cloudfront", "keygen", "--out", str(folder)])
    assert result.exit_code == 0, result.output
    private, public = folder / "cloudfront-private-key.pem", folder / "cloudfront-public-key.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    assert sorted(folder.iterdir()) == [private, public]
    load_signing_key(str(private))
    assert "BEGIN" not in result.output
    assert str(public) in result.output
    assert f"CLOUDFRONT_PRIVATE_KEY_PEM={private}" in result.output


def test_keys_are_replaced_by_force_only(tmp_path: Path) -> None:
    private = tmp_path / "cloudfront-private-key.pem"
    private.write_text("precious")
    refused = CliRunner().invoke(cli, ["cloudfront", "keygen", "--out", str(tmp_path)])
    assert (refused.exit_code, private.read_text()) == (2, "precious")
    assert "--force" in refused.output
    assert not (tmp_path / "cloudfront-public-key.pem").exists()
    forced = CliRunner().invoke(cli, ["cloudfront", "keygen", "--out", str(tmp_path), "--force"])
    assert forced.exit_code == 0
    load_signing_key(str(private))


def test_a_failure_leaves_no_private_key_behind(tmp_path: Path) -> None:
    folder = tmp_path / "cloudfront-private-key.pem"
    folder.mkdir()
    ended = CliRunner().invoke(cli, ["cloudfront", "keygen", "--out", str(tmp_path), "--force"])
    assert isinstance(ended.exception, OSError)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_time_that_cannot_be_read() -> None:
    refused = CliRunner().invoke(cli, ["cloudfront", "rotate", "--switched-at", "yesterday"])
    assert refused.exit_code == 2
    assert "'yesterday' is not a time in UTC such as 2026-11-30T18:00Z" in refused.output
