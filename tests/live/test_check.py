"""`image-gateway check` of everything that a gateway serves: nothing is wrong with it."""

from __future__ import annotations

import pytest

from image_gateway.local.gateway import LocalGateway
from image_gateway.local.seaweed import LocalStore
from image_gateway.url_check.check import check_url
from image_gateway.url_check.report import UrlReport, Verdict
from image_gateway.url_check.target import Target
from tests.live.test_verify import SIZE, Published, make_published

PAGE = "https://page.example.com"
# The client that each layout is made for; `disk` and `raw` are read by several.
LAYOUTS = {
    "disk": "v86",
    "chunks": "browser",
    "v86": "v86",
    "tinyemu": "tinyemu",
    "infinite-mac": "infinite-mac",
    "webvm": "webvm",
    "webvm bytes": "webvm",
    "sqlite": "sqljs",
    "raw": "qemu",
}


@pytest.fixture(scope="module")
def image(
    gateway: LocalGateway,
    environment: dict[str, str],
    store: LocalStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Published:
    return make_published(gateway, environment, store, tmp_path_factory.mktemp("check"))


@pytest.fixture(scope="module")
def urls(image: Published) -> dict[str, str]:
    """The URLs that `stream-url` offers, with a lease in them."""
    stream = image.client.stream_url(image.image_id)
    views = stream["views"]
    return {
        "disk": stream["url"],
        "chunks": stream["chunked"]["manifestUrl"],
        "v86": views["v86"]["url"],
        "tinyemu": views["tinyemu"]["url"],
        "infinite-mac": views["infinite-mac"]["url"],
        "webvm": f"{views['webvm']['url']}.meta",
        "webvm bytes": views["webvm"]["bytesUrl"],
        "sqlite": views["sqlite"]["configUrl"],
        "raw": views["raw"]["url"],
    }


def found(report: UrlReport) -> list[str]:
    return [f"{finding.code}: {finding.what}" for check in report.checks for finding in check.findings]


def verdicts(report: UrlReport) -> dict[str, Verdict]:
    return {each.client: each.verdict for each in report.verdicts}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_wrong_with_what_stream_url_offers(urls: dict[str, str], layout: str) -> None:
    report = check_url(Target(urls[layout], origin=PAGE))
    assert found(report) == []
    left_out = {check.skipped for check in report.checks if check.skipped}
    assert left_out <= {"content-encoding-identity is right by the standards and breaks webvm"}
    assert verdicts(report)[LAYOUTS[layout]] is Verdict.WORKS
    assert report.facts["Size"] == f"{-(-SIZE // 262144) * 262144 if layout == 'tinyemu' else SIZE} bytes"
    assert report.facts["Pages"] == f"{PAGE} may read it"
    assert report.requests < 40


def test_the_route_of_an_image_as_its_owner_and_for_everybody(
    image: Published, gateway: LocalGateway
) -> None:
    url = f"{gateway.url}/v1/images/{image.image_id}/range"
    user = {"X-User-Id": image.variables["IMAGE_GATEWAY_USER"]}
    assert found(check_url(Target(url, user))) == []
    # Without OpenID Connect, a page of an origin that is not listed cannot say who its user is.
    assert [text.partition(":")[0] for text in found(check_url(Target(url, user, origin=PAGE)))] == [
        "preflight-header-missing",
        "status",
    ]
    image.client.send_json("PATCH", f"/v1/images/{image.image_id}", {"visibility": "public"})
    report = check_url(Target(url, origin=PAGE))
    assert found(report) == []
    assert verdicts(report)["qemu"] is Verdict.WORKS
    # CheerpX refuses `Content-Encoding: identity`, which this route has and views have not.
    assert verdicts(report)["webvm"] is Verdict.BREAKS
    assert [text.partition(":")[0] for text in found(check_url(Target(url, {}, "webvm")))] == [
        "content-encoding-identity"
    ]
