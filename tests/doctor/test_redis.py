"""The counters of rate limits, in a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from redis import Redis

from image_gateway.doctor.redis import check_redis
from image_gateway.domain.findings import Check
from image_gateway.local.ports import find_free_ports
from image_gateway.settings import Settings
from tests.support.black_hole import black_hole
from tests.support.environments import load
from tests.support.findings import codes_of, only_finding, skipped_of, stopped_timer
from tests.support.redis_server import PASSWORD, running_redis

BOUND = "image_gateway.routes.http.rate_limits.STORAGE_SECONDS"
SERVER = {"HOST": "0.0.0.0", "ALLOW_INSECURE_DEV_AUTH": "true"}


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def admin(redis_url: str) -> Iterator[Redis]:
    """A client whose changes of the configuration end with the test."""
    with Redis.from_url(redis_url, password=PASSWORD) as client:
        before = client.config_get("maxmemory*")
        yield client
        for name in ("maxmemory", "maxmemory-policy"):
            client.config_set(name, before[name])
        client.replicaof("NO", "ONE")
        client.acl_deluser("gateway")


def with_redis(url: str, password: str = PASSWORD, user: str = "") -> Settings:
    return load(RATE_LIMIT_STORAGE_URL=url.replace("://", f"://{user}:{password}@"))


def examine(settings: Settings) -> Iterator[Check]:
    return check_redis(settings, stopped_timer)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second is little on a busy machine."""
    monkeypatch.setattr(BOUND, 20)


def test_a_healthy_redis_has_no_finding(redis_url: str, admin: Redis) -> None:
    checks = list(examine(with_redis(redis_url)))
    assert codes_of(checks) == []
    assert [check.name for check in checks] == ["count a hit", "latency", "eviction"]
    assert 0 < admin.pttl("LIMITS:image-gateway-doctor") <= 1000 or not admin.keys()


@pytest.mark.parametrize(("password", "user"), [("wrong-sesame", ""), (PASSWORD, "nobody")])
def test_a_wrong_password(redis_url: str, password: str, user: str) -> None:
    finding = only_finding(examine(with_redis(redis_url, password, user)))
    assert finding.code == "redis-authentication"
    assert password not in str(finding)


def test_no_password(redis_url: str) -> None:
    found = codes_of(check_redis(load(RATE_LIMIT_STORAGE_URL=redis_url)))
    assert found == ["warning redis-authentication"]


def test_a_redis_that_evicts(redis_url: str, admin: Redis) -> None:
    admin.config_set("maxmemory", "64mb")
    assert codes_of(examine(with_redis(redis_url))) == []
    admin.config_set("maxmemory-policy", "allkeys-lru")
    finding = only_finding(examine(with_redis(redis_url)))
    assert finding.code == "redis-evicts"
    assert finding.what == "maxmemory-policy is allkeys-lru, with maxmemory 67108864"


def test_a_redis_whose_memory_is_full(redis_url: str, admin: Redis) -> None:
    admin.config_set("maxmemory", "1")
    finding = only_finding(examine(with_redis(redis_url)))
    assert finding.code == "redis-refuses-writes"
    assert finding.what.endswith("does not count a hit (OutOfMemoryError)")


def test_a_replica(redis_url: str, admin: Redis) -> None:
    (port,) = find_free_ports(1)
    admin.replicaof("127.0.0.1", str(port))
    assert codes_of(examine(with_redis(redis_url))) == ["warning redis-refuses-writes"]


def test_a_user_without_rights(redis_url: str, admin: Redis) -> None:
    admin.acl_setuser("gateway", enabled=True, passwords=["+sesame"], commands=["+ping", "+info"], keys=["*"])
    found = codes_of(examine(with_redis(redis_url, "sesame", "gateway")))
    assert found == ["warning redis-refuses-writes"]


def test_a_slow_redis(redis_url: str) -> None:
    ticks = count()
    finding = only_finding(check_redis(with_redis(redis_url), timer=lambda: next(ticks) * 0.03))
    assert finding.code == "redis-slow"
    assert finding.what == "PING takes 30 ms; more than 20 ms"


def test_a_closed_port() -> None:
    (port,) = find_free_ports(1)
    finding = only_finding(examine(with_redis(f"redis://127.0.0.1:{port}")))
    assert finding.code == "redis-unreachable"
    assert finding.what == f"the storage at 127.0.0.1:{port} cannot be reached: Connection refused"


def test_a_redis_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BOUND, 0.2)
    with black_hole() as hole:
        finding = only_finding(examine(with_redis(f"redis://127.0.0.1:{hole.port}")))
    assert finding.code == "redis-unreachable"
    assert finding.what.endswith("no answer in time")


def test_a_url_of_no_storage() -> None:
    url = "http://127.0.0.1:6379"
    assert codes_of(check_redis(load(RATE_LIMIT_STORAGE_URL=url))) == ["broken redis-url-invalid"]


def test_a_password_with_a_slash_is_not_taken_for_a_host() -> None:
    finding = only_finding(check_redis(load(RATE_LIMIT_STORAGE_URL="redis://:sesame/opens@127.0.0.1:1")))
    assert "sesame" not in str(finding)
    assert "opens" not in str(finding)


def test_memory_of_several_workers() -> None:
    finding = only_finding(check_redis(load(**SERVER, WEB_WORKERS="4")))
    assert finding.code == "redis-not-used"
    assert "a client may do up to 4 times" in finding.why


@pytest.mark.parametrize("environ", [{}, {**SERVER, "WEB_WORKERS": "1"}, {**SERVER, "RATE_LIMITS": "false"}])
def test_where_no_redis_is_needed(environ: dict[str, str]) -> None:
    checks = list(check_redis(load(**environ)))
    assert codes_of(checks) == []
    assert list(skipped_of(checks)) == ["counters of rate limits"]
