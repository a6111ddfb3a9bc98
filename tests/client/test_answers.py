"""What no response may show."""

from __future__ import annotations

from datetime import UTC, datetime

from image_gateway.client.answers import Lease, NewUpload, SignedParts
from image_gateway.client.api import GatewayClient
from image_gateway.client.credentials import FixedCredentials, bearer
from image_gateway.client.files import Remembered
from image_gateway.client.leases import read_link


def test_no_repr_holds_a_secret() -> None:
    now = datetime.now(UTC)
    values = [
        NewUpload("image", "SECRET", 1),
        SignedParts({1: "SECRET"}, now, now),
        Remembered("api", "image", "SECRET", 1, 2),
        bearer("SECRET"),
        Lease("lease", "image", bearer("SECRET"), 1, False),
        read_link("SECRET", "api"),
        GatewayClient("http://x", FixedCredentials(bearer("SECRET"))),
        FixedCredentials(bearer("SECRET")),
    ]
    assert "SECRET" not in repr(values)
