from __future__ import annotations

from pathlib import Path

import pytest
from streaming_edge import with_counter

from image_gateway.edge.config import render_config
from image_gateway.local.edge import edge_environment
from image_gateway.settings import load_settings
from image_gateway.storage.client import StoreAddress

STORE = StoreAddress("images", "us-east-1", endpoint="http://127.0.0.1:9000", path_style=True)


@pytest.fixture
def config(tmp_path: Path) -> str:
    variables = {
        **edge_environment(tmp_path, 8080, 8081),
        "S3_BUCKET": "images",
        "AWS_REGION": "us-east-1",
        "AUTH_MODE": "dev",
        "DATABASE_URL": f"sqlite:///{tmp_path}/catalog.db",
        "LEASE_KEYS": f"k1:{'1' * 40}",
    }
    return render_config(load_settings(variables), STORE)


def test_what_the_edge_fetches_goes_by_way_of_the_counter(config: str) -> None:
    counted = with_counter(config, STORE, Path("/x/fetches.log"), 9999)
    upstream, counter = counted.split("upstream counted_store", 1)
    assert "server 127.0.0.1:9999;" in upstream
    assert "server 127.0.0.1:9000;" not in upstream
    assert "server 127.0.0.1:9000;" in counter
    assert counted.count("{") == counted.count("}")


def test_a_configuration_without_the_store_is_not_measured(config: str) -> None:
    elsewhere = config.replace("127.0.0.1:9000", "store.example:80")
    with pytest.raises(AssertionError, match="not found"):
        with_counter(elsewhere, STORE, Path("/x/fetches.log"), 9999)
