"""`image-gateway db restored` as an operator uses it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from image_gateway.catalog.repository import Catalog
from image_gateway.cli.main import cli
from image_gateway.settings import Settings
from tests.support.world import World

pytestmark = pytest.mark.database


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["db", "restored", *arguments], catch_exceptions=False)


def test_it_names_what_vanished_and_what_no_record_knows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_BUCKET", world.settings.s3_bucket)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    limits: list[int] = []

    def open_catalog(settings: Settings) -> Catalog:
        limits.append(settings.catalog_timeout_seconds)
        return world.catalog

    monkeypatch.setattr("image_gateway.cli.db.open_catalog", open_catalog)
    monkeypatch.setattr("image_gateway.cli.db.open_store", lambda _: world.store)
    gone, kept = world.make_image(b"gone"), world.make_image(b"kept")
    world.store.delete(gone.key)
    key = kept.key.replace(kept.image_id, "00000000-0000-4000-8000-000000000001")
    world.store.put(key, b"12345", content_type="application/octet-stream", cache_control="no-store")
    dry = run("--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "would be revoked: 0 leases\n" in dry.output
    assert "without a disk: 1 images, kept (--delete-vanished deletes the records)\n" in dry.output
    assert f"vanished: {gone.image_id}\n" in dry.output
    assert f"without a record: {key}, 5 bytes, " in dry.output
    assert world.catalog.properties.restored_at() is None
    done = run("--adopt", "--delete-vanished", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.output)
    assert document["adopted"] == ["00000000-0000-4000-8000-000000000001"]
    assert (document["unknown"][0]["size"], document["unknown"][0]["owner"]) == (5, "alice")
    assert document["dry_run"] is False
    assert world.catalog.properties.restored_at() is not None
    # Revoking millions of leases is one statement: it may take longer than those of requests.
    assert min(limits) >= 600
