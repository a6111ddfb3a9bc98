"""What the template promises, held against the signer, the settings and the gateway's own answers."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.stub import Stubber

from image_gateway.cdn.cookies import CookieRules
from image_gateway.cdn.signer import CloudFrontSigner
from image_gateway.domain.callers import Caller
from image_gateway.domain.images import ImageRecord
from image_gateway.protocol.layout import normalise_base_path
from image_gateway.routes.http.cors import DEFAULT_ALLOWED_HEADERS, EXPOSED
from image_gateway.services.stream_urls import Cdn, Delivery, LeaseCarrier
from image_gateway.settings import SettingsSchema
from image_gateway.storage.bucket import ABORT_AFTER_DAYS, BucketSetup
from image_gateway.storage.client import StoreAddress, StoreClients
from tests.deploy.conftest import LEAST, ORIGINS
from tests.support.cloudformation import Stack, behaviour_of, behaviours, distribution
from tests.support.records import make_record

FIELDS = {str(field.data_key): field for field in SettingsSchema().fields.values()}
READ_HEADERS = ["range", "if-range", "if-none-match", "if-match", "if-modified-since", "if-unmodified-since"]


def check_bytes_are_unchanged(stack: Stack) -> None:
    assert {name: each["Compress"] for name, each in behaviours(stack).items()} == dict.fromkeys(
        behaviours(stack), False
    )


def check_the_path_alone_is_the_cache_key(stack: Stack) -> None:
    assert {each["CachePolicyId"] for each in behaviours(stack).values()} == {"ref:CachePolicy"}
    key = stack.properties("CachePolicy")["CachePolicyConfig"]["ParametersInCacheKeyAndForwardedToOrigin"]
    assert key == {
        "CookiesConfig": {"CookieBehavior": "none"},
        "HeadersConfig": {"HeaderBehavior": "none"},
        "QueryStringsConfig": {"QueryStringBehavior": "none"},
        "EnableAcceptEncodingGzip": False,
        "EnableAcceptEncodingBrotli": False,
    }


def check_signatures_are_needed(stack: Stack) -> None:
    groups = {name: each.get("TrustedKeyGroups") for name, each in behaviours(stack).items()}
    assert groups == {"/images/*": ["ref:KeyGroup"], "/public/*": None, "default": ["ref:KeyGroup"]}


def check_the_bucket_is_read_by_the_distribution_alone(stack: Stack) -> None:
    config = distribution(stack)
    [origin] = config["Origins"]
    assert origin["OriginAccessControlId"] == "ref:OriginAccessControl.Id"
    assert origin["S3OriginConfig"] == {"OriginAccessIdentity": ""}
    assert {each["TargetOriginId"] for each in behaviours(stack).values()} == {origin["Id"]}
    control = stack.properties("OriginAccessControl")["OriginAccessControlConfig"]
    assert (control["OriginAccessControlOriginType"], control["SigningBehavior"]) == ("s3", "always")
    assert control["SigningProtocol"] == "sigv4"
    statements = stack.properties("BucketPolicy")["PolicyDocument"]["Statement"]
    [allowed] = [statement for statement in statements if statement["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert allowed["Action"] == "s3:GetObject"
    assert allowed["Resource"] == ["ref:Bucket.Arn/images/*", "ref:Bucket.Arn/public/*"]
    source = "arn:aws:cloudfront::123456789012:distribution/ref:Distribution"
    assert allowed["Condition"] == {"StringEquals": {"AWS:SourceArn": source}}
    assert set(stack.properties("Bucket")["PublicAccessBlockConfiguration"].values()) == {True}


def check_pages_may_read(stack: Stack) -> None:
    assert {each["ResponseHeadersPolicyId"] for each in behaviours(stack).values()} == {
        "ref:ResponseHeadersPolicy"
    }
    headers = stack.properties("ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
    cors = headers["CorsConfig"]
    assert cors["AccessControlExposeHeaders"]["Items"] == EXPOSED.split(", ")
    assert cors["AccessControlAllowMethods"]["Items"] == ["GET", "HEAD", "OPTIONS"]
    assert cors["AccessControlAllowOrigins"]["Items"] == ORIGINS.split(",")
    assert cors["AccessControlAllowCredentials"] is True
    assert cors["OriginOverride"] is True
    allowed = cors["AccessControlAllowHeaders"]["Items"]
    assert set(READ_HEADERS) < set(allowed) <= set(DEFAULT_ALLOWED_HEADERS.split(", "))
    [policy] = headers["CustomHeadersConfig"]["Items"]
    assert (policy["Header"], policy["Value"]) == ("Cross-Origin-Resource-Policy", "same-site")
    assert headers["SecurityHeadersConfig"]["ContentTypeOptions"]["Override"] is True


PROMISES = [
    check_bytes_are_unchanged,
    check_the_path_alone_is_the_cache_key,
    check_signatures_are_needed,
    check_the_bucket_is_read_by_the_distribution_alone,
    check_pages_may_read,
]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_the_template_holds(stack: Stack, promise: Callable[[Stack], None]) -> None:
    promise(stack)


def _set(value: Any, *path: str | int) -> Callable[[Any], None]:
    """Return a change of one place of a template."""

    def change(resources: Any) -> None:
        *parents, last = path
        for step in parents:
            resources = resources[step]
        assert resources.get(last) != value
        resources[last] = value

    return change


_CONFIG = ("Distribution", "Properties", "DistributionConfig")
_KEY = ("CachePolicy", "Properties", "CachePolicyConfig", "ParametersInCacheKeyAndForwardedToOrigin")
_CORS = ("ResponseHeadersPolicy", "Properties", "ResponseHeadersPolicyConfig", "CorsConfig")
MISTAKES = {
    "the default compresses": (PROMISES[0], _set(True, *_CONFIG, "DefaultCacheBehavior", "Compress")),
    "images are compressed": (PROMISES[0], _set(True, *_CONFIG, "CacheBehaviors", 0, "Compress")),
    "the query is a key": (PROMISES[1], _set("all", *_KEY, "QueryStringsConfig", "QueryStringBehavior")),
    "cookies are a key": (PROMISES[1], _set("all", *_KEY, "CookiesConfig", "CookieBehavior")),
    "Range is a key": (
        PROMISES[1],
        _set({"HeaderBehavior": "whitelist", "Headers": ["Range"]}, *_KEY, "HeadersConfig"),
    ),
    "encodings are a key": (PROMISES[1], _set(True, *_KEY, "EnableAcceptEncodingGzip")),
    "images need no key": (PROMISES[2], _set([], *_CONFIG, "CacheBehaviors", 0, "TrustedKeyGroups")),
    "the rest needs no key": (PROMISES[2], _set([], *_CONFIG, "DefaultCacheBehavior", "TrustedKeyGroups")),
    "the public path needs a key": (
        PROMISES[2],
        _set(["ref:KeyGroup"], *_CONFIG, "CacheBehaviors", 1, "TrustedKeyGroups"),
    ),
    "any distribution reads": (
        PROMISES[3],
        _set({}, "BucketPolicy", "Properties", "PolicyDocument", "Statement", 1, "Condition"),
    ),
    "a header is not exposed": (
        PROMISES[4],
        _set({"Items": ["etag"]}, *_CORS, "AccessControlExposeHeaders"),
    ),
    "S3 decides about CORS": (PROMISES[4], _set(False, *_CORS, "OriginOverride")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_changed_template_is_noticed(template: dict[str, Any], mistake: str) -> None:
    promise, change = MISTAKES[mistake]
    changed = copy.deepcopy(template)
    change(changed["Resources"])
    with pytest.raises(AssertionError):
        promise(Stack(changed, LEAST))


@pytest.mark.parametrize("base", ["/images", "/a/b.c", "/public/images"])
def test_all_that_the_signer_signs_is_private_and_nothing_else_is_read(
    template: dict[str, Any], base: str
) -> None:
    stack = Stack(template, {**LEAST, "ImageBasePath": base, "PublicPath": "/public"})
    assert normalise_base_path(stack.outputs["ImageBasePath"]["Value"]) == base
    location = _record_below(base).location
    for key in (location.disk_key, location.manifest_key, location.chunk_key(7, 8), location.source_key):
        assert behaviour_of(stack, f"/{key}") == f"{base}/*"
    for path in ("/", "/index.html", f"{base}", f"{base}x/disk.img", "/publicx"):
        assert behaviour_of(stack, path) in ("default", "/public/*")
    assert behaviour_of(stack, "/public/logo.png") == "/public/*"


def _record_below(base: str) -> ImageRecord:
    return make_record(base_path=base)


def test_what_is_being_converted_is_read_by_nobody_through_the_distribution(stack: Stack) -> None:
    statements = stack.properties("BucketPolicy")["PolicyDocument"]["Statement"]
    [denied] = [each["Resource"] for each in statements if each["Sid"] == "KeepWorkFromReaders"]
    location = _record_below("/images").location
    pattern = denied.removeprefix("ref:Bucket.Arn/")
    assert fnmatch.fnmatchcase(location.source_key, pattern)
    assert fnmatch.fnmatchcase(location.zero_map_key, pattern)
    readable = (location.disk_key, location.manifest_key, location.chunk_key(7, 8), location.latest_key)
    assert not any(fnmatch.fnmatchcase(key, pattern) for key in readable)


def test_signatures_end_at_the_edge(stack: Stack) -> None:
    """S3 refuses a request that is signed by CloudFront and has a query parameter `Signature` as well."""
    assert {each["OriginRequestPolicyId"] for each in behaviours(stack).values()} == {
        "ref:OriginRequestPolicy"
    }
    policy = stack.properties("OriginRequestPolicy")["OriginRequestPolicyConfig"]
    assert policy["CookiesConfig"] == {"CookieBehavior": "none"}
    assert policy["QueryStringsConfig"] == {"QueryStringBehavior": "none"}
    names = ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]
    assert policy["HeadersConfig"] == {"HeaderBehavior": "whitelist", "Headers": names}


def test_cookies_of_the_signer_are_those_that_cloudfront_reads_on_the_private_path(stack: Stack) -> None:
    signer = CloudFrontSigner("K", lambda message: message, 60, lambda: 0.0)
    cdn = Cdn("d1.cloudfront.net", False, signer, CookieRules("None", partitioned=False, domain=None))
    record = _record_below(stack.outputs["ImageBasePath"]["Value"])
    answer = Delivery(cdn, None, LeaseCarrier(False, cdn.cookie_rules)).stream_url(record, Caller("a"), "")
    # CloudFront Developer Guide: Set signed cookies using a custom policy.
    names = {"CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id"}
    assert {cookie.name for cookie in answer.cookies} == names
    paths = {cookie.attributes[0].removeprefix("Path=") for cookie in answer.cookies}
    assert {behaviour_of(stack, path) for path in paths} == {"/images/*"}
    assert behaviour_of(stack, urlsplit(answer.url).path) == "/images/*"


def test_methods_and_preflights_are_the_same_everywhere(stack: Stack) -> None:
    for behaviour in behaviours(stack).values():
        assert behaviour["AllowedMethods"] == ["GET", "HEAD", "OPTIONS"]
        assert behaviour["ViewerProtocolPolicy"] == "https-only"
        assert behaviour["FunctionAssociations"] == [
            {"EventType": "viewer-request", "FunctionARN": "ref:PreflightFunction.FunctionARN"}
        ]
    assert distribution(stack)["HttpVersion"] == "http2and3"


def test_the_bucket_is_what_bucket_init_makes(stack: Stack) -> None:
    """Else `bucket init` and the template would undo each other's work."""
    bucket = stack.properties("Bucket")
    [cors] = bucket["CorsConfiguration"]["CorsRules"]
    [rule] = bucket["LifecycleConfiguration"]["Rules"]
    address = StoreAddress(
        "images", "us-east-1", "http://127.0.0.1:1", path_style=True, credentials=("k", "s")
    )
    clients = StoreClients(address)
    with Stubber(clients.requests) as stub:
        stub.add_response("head_bucket", {})
        expected = {
            "AllowedOrigins": cors["AllowedOrigins"],
            "AllowedMethods": cors["AllowedMethods"],
            "AllowedHeaders": cors["AllowedHeaders"],
            "ExposeHeaders": cors["ExposedHeaders"],
            "MaxAgeSeconds": cors["MaxAge"],
        }
        stub.add_response(
            "put_bucket_cors", {}, {"Bucket": "images", "CORSConfiguration": {"CORSRules": [expected]}}
        )
        stub.add_response("get_bucket_lifecycle_configuration", {"Rules": []})
        days = rule["AbortIncompleteMultipartUpload"]
        aborting = {
            "ID": rule["Id"],
            "Status": rule["Status"],
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": days,
        }
        stub.add_response(
            "put_bucket_lifecycle_configuration",
            {},
            {"Bucket": "images", "LifecycleConfiguration": {"Rules": [aborting]}},
        )
        steps = list(BucketSetup(clients, tuple(ORIGINS.split(","))).run())
        assert [step.outcome.name for step in steps[:3]] == ["DONE"] * 3
        stub.assert_no_pending_responses()
    assert days == {"DaysAfterInitiation": ABORT_AFTER_DAYS}
