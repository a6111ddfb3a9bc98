"""A rotation of keys from its first step to its last, and the ways in which it goes wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from image_gateway.doctor.cloudfront_rotation import RotatedKey, Rotation, Step
from image_gateway.errors import StoreError
from image_gateway.storage.objects import ObjectStore
from tests.cdn.edge import Edge
from tests.doctor.cloudfront.conftest import KEY_ID, Distribution, Make
from tests.support.keys import make_key, pem_of

NEW_ID = "KNEW"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LIFETIME = timedelta(seconds=43_200 + 3_600)
LONG_AGO, JUST_NOW = NOW - LIFETIME, NOW - LIFETIME + timedelta(seconds=1)


@pytest.fixture(scope="module")
def new_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


# What the operator says, what the distribution trusts, the step that comes next, and the findings.
STAGES: dict[str, tuple[dict[str, Any], str, Step, list[str]]] = {
    "before": ({}, "old", Step.MAKE_KEY, []),
    "the new key is made": ({"new": True}, "old", Step.ADD_KEY, ["cloudfront-new-key-refused"]),
    "both are trusted": ({"new": True}, "old new", Step.SWITCH, []),
    "the gateway has switched": ({"new": True, "switched": True}, "old new", Step.WAIT, []),
    "signatures are alive": ({"old": True, "switched_at": JUST_NOW}, "old new", Step.WAIT, []),
    "signatures have expired": (
        {"old": True, "switched_at": LONG_AGO},
        "old new",
        Step.REMOVE_KEY,
        ["cloudfront-old-key-trusted"],
    ),
    "the old key is gone": ({"old": True, "switched_at": LONG_AGO}, "new", Step.DONE, []),
    "the old key is gone too early": (
        {"old": True, "switched_at": JUST_NOW},
        "new",
        Step.WAIT,
        ["cloudfront-old-key-removed-early"],
    ),
    "the gateway has switched too early": (
        {"new": True, "switched": True},
        "old",
        Step.WAIT,
        ["cloudfront-key-refused"],
    ),
    "the old key was removed first": (
        {"new": True},
        "new",
        Step.SWITCH,
        ["cloudfront-key-refused"],
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_is_recognised(
    stage: str, distribution: Distribution, make_settings: Make, store: ObjectStore, new_key: RSAPrivateKey
) -> None:
    said, trusted, step, expected = STAGES[stage]
    keys = {"old": (KEY_ID, make_key()), "new": (NEW_ID, new_key)}
    fake = distribution(
        keys=[Edge(keys[name][0], keys[name][1].public_key()) for name in trusted.split()],
        now=NOW.timestamp,
    )
    switched = "switched" in said or "switched_at" in said
    gateway_id, gateway_key = keys["new" if switched else "old"]
    settings = make_settings(
        CLOUDFRONT_KEY_PAIR_ID=gateway_id, CLOUDFRONT_PRIVATE_KEY_PEM=pem_of(gateway_key)
    )
    parts = {name: RotatedKey(key_id, pem_of(key)) for name, (key_id, key) in keys.items() if said.get(name)}
    rotation = Rotation(
        settings, parts.get("old"), parts.get("new"), said.get("switched_at"), fake.send, NOW.timestamp
    )
    checks = list(rotation.checks())
    assert rotation.step is step
    assert [finding.code for check in checks for finding in check.findings] == expected
    assert "BEGIN" not in f"{rotation}{checks}"
    assert list(store.list_objects("")) == []


def test_a_probe_object_that_stays_is_named(
    distribution: Distribution, make_settings: Make, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(key: str) -> None:
        raise StoreError("denied")

    monkeypatch.setattr(store, "delete", refuse)
    checks = list(Rotation(make_settings(), send=distribution().send).checks())
    [(finding, key)] = zip(checks[-1].findings, store.list_objects(""), strict=True)
    assert finding.code == "cloudfront-probe-left"
    assert key.key in finding.what


def test_a_key_that_cannot_be_used_is_named_and_not_shown(
    make_settings: Make, store: ObjectStore, new_key: RSAPrivateKey
) -> None:
    damaged = pem_of(new_key).replace("END PRIVATE", "END PUBLIC")
    rotation = Rotation(make_settings(), new=RotatedKey(NEW_ID, damaged))
    with pytest.raises(ValueError, match=r"^the new key is truncated: .*") as caught:
        list(rotation.checks())
    assert damaged[40:60] not in str(caught.value)
