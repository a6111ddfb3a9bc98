"""What the template promises, held against the signer, the settings and the gateway's own answers."""

from __future__ import annotations

import copy
import fnmatch
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import jmespath
import pytest
from botocore.stub import Stubber

from image_gateway.cdn.cookies import CookieRules
from image_gateway.cdn.signer import CloudFrontSigner
from image_gateway.domain.callers import Caller
from image_gateway.domain.images import ImageRecord
from image_gateway.protocol.layout import normalise_base_path
from image_gateway.routes.http.cors import DEFAULT_ALLOWED_HEADERS, EXPOSED
from image_gateway.services.stream_urls import Cdn, Delivery, LeaseCarrier
from image_gateway.settings import SettingsSchema, load_settings
from image_gateway.storage.bucket import ABORT_AFTER_DAYS, BucketSetup
from image_gateway.storage.client import StoreAddress, StoreClients
from tests.deploy.conftest import FOLDER, KEY, LEAST, ORIGINS
from tests.support.cloudformation import Stack
from tests.support.documents import ROOT, blocks_of
from tests.support.records import make_record

FIELDS = {str(field.data_key): field for field in SettingsSchema().fields.values()}
READ_HEADERS = ["range", "if-range", "if-none-match", "if-match", "if-modified-since", "if-unmodified-since"]


def distribution(stack: Stack) -> Any:
    return stack.properties("Distribution")["DistributionConfig"]


def behaviours(stack: Stack) -> dict[str, Any]:
    config = distribution(stack)
    named = {behaviour["PathPattern"]: behaviour for behaviour in config["CacheBehaviors"]}
    return {**named, "default": config["DefaultCacheBehavior"]}


def behaviour_of(stack: Stack, path: str) -> str:
    """The name of the behaviour that answers a path: the first pattern that matches."""
    patterns = [behaviour["PathPattern"] for behaviour in distribution(stack)["CacheBehaviors"]]
    return next((pattern for pattern in patterns if fnmatch.fnmatchcase(path, pattern)), "default")


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


def test_versioning_and_encryption_are_the_operators_choice(template: dict[str, Any], stack: Stack) -> None:
    def encryption(stack: Stack) -> Any:
        [rule] = stack.properties("Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        return rule

    assert "VersioningConfiguration" not in stack.properties("Bucket")
    assert encryption(stack) == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    arn = "arn:aws:kms:eu-central-1:123456789012:key/abc"
    chosen = Stack(template, {**LEAST, "Versioning": "on", "NoncurrentDays": "9", "KmsKeyArn": arn})
    assert chosen.properties("Bucket")["VersioningConfiguration"] == {"Status": "Enabled"}
    _, expiry = chosen.properties("Bucket")["LifecycleConfiguration"]["Rules"]
    assert expiry["NoncurrentVersionExpiration"] == {"NoncurrentDays": "9"}
    assert encryption(chosen)["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == arn


def test_own_names_come_with_their_certificate(template: dict[str, Any], stack: Stack) -> None:
    assert "Aliases" not in distribution(stack)
    assert distribution(stack)["ViewerCertificate"] == {"CloudFrontDefaultCertificate": True}
    arn = "arn:aws:acm:us-east-1:123456789012:certificate/abc"
    named = Stack(template, {**LEAST, "Aliases": "images.example.com", "CertificateArn": arn})
    assert distribution(named)["Aliases"] == ["images.example.com"]
    assert distribution(named)["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert named.outputs["CloudFrontDomain"]["Value"] == "images.example.com"


@pytest.mark.parametrize(
    ("parameters", "refusal"),
    [
        ({**LEAST, "AllowedOrigins": "*"}, "AuthMode=cookie needs AllowedOrigins by name, not *"),
        ({**LEAST, "FirstPublicKey": ""}, "SigningKey=first needs FirstPublicKey"),
        ({**LEAST, "SigningKey": "second"}, "SigningKey=second needs SecondPublicKey"),
        (
            {**LEAST, "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/a"},
            "CertificateArn needs Aliases",
        ),
        ({**LEAST, "AllowedOrigins": "*", "AuthMode": "url"}, None),
        (LEAST, None),
    ],
)
def test_parameters_that_do_not_fit_each_other_are_refused(
    template: dict[str, Any], parameters: dict[str, str], refusal: str | None
) -> None:
    assert Stack(template, parameters).refusals == ([refusal] if refusal else [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AllowedOrigins", "https://a.example','evil"),
        ("AllowedOrigins", "https://app.example.com/path"),
        ("ImageBasePath", "/images/"),
        ("ImageBasePath", "images"),
        ("ImageBasePath", "/im*ges"),
        ("PublicPath", ""),
        ("CertificateArn", "arn:aws:acm:eu-central-1:123456789012:certificate/a"),
        ("AuthMode", "none"),
    ],
)
def test_values_that_cannot_work_are_refused(template: dict[str, Any], name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        Stack(template, {**LEAST, name: value})


def test_a_rotation_adds_and_removes_keys_and_never_changes_one(template: dict[str, Any]) -> None:
    second = KEY.replace("MIIB", "MIIC")
    steps = [
        LEAST,
        {**LEAST, "SecondPublicKey": second},
        {**LEAST, "SecondPublicKey": second, "SigningKey": "second"},
        {"AllowedOrigins": ORIGINS, "SecondPublicKey": second, "SigningKey": "second"},
    ]
    seen = []
    for parameters in steps:
        stack = Stack(template, parameters)
        assert stack.refusals == []
        group = stack.properties("KeyGroup")["KeyGroupConfig"]["Items"]
        keys = [name for name in ("FirstKey", "SecondKey") if name in stack.resources]
        assert group == [f"ref:{name}" for name in keys]
        seen.append((keys, stack.outputs["CloudFrontKeyPairId"]["Value"]))
    assert seen == [
        (["FirstKey"], "ref:FirstKey"),
        (["FirstKey", "SecondKey"], "ref:FirstKey"),
        (["FirstKey", "SecondKey"], "ref:SecondKey"),
        (["SecondKey"], "ref:SecondKey"),
    ]
    encoded = Stack(template, steps[1]).properties("SecondKey")["PublicKeyConfig"]["EncodedKey"]
    assert encoded == f"{second}\n"


def test_defaults_are_those_of_the_settings(stack: Stack) -> None:
    for output in ("ImageBasePath", "CloudFrontAuthMode", "CrossOriginResourcePolicy"):
        told = stack.outputs[output]
        assert told["Value"] == FIELDS[told["Description"]].load_default


def test_the_documented_command_prints_outputs_as_settings(stack: Stack) -> None:
    [command] = [
        block.text
        for block in blocks_of(ROOT / "docs/how-to/cloudfront.md")
        if "describe-stacks" in block.text
    ]
    query = command.partition('--query "')[2].partition('"')[0]
    outputs = [
        {"OutputKey": key, "OutputValue": told["Value"], "Description": told["Description"]}
        for key, told in stack.outputs.items()
    ]
    lines = jmespath.search(query, {"Stacks": [{"Outputs": outputs}]})
    printed = dict(line.split("=", 1) for line in lines)
    assert set(printed) <= set(FIELDS)
    assert {"S3_BUCKET", "AWS_REGION", "CLOUDFRONT_DOMAIN", "CLOUDFRONT_KEY_PAIR_ID"} < set(printed)
    real = {
        "S3_BUCKET": "images",
        "CLOUDFRONT_DOMAIN": urlsplit("https://d1.cloudfront.net").netloc,
        "CLOUDFRONT_KEY_PAIR_ID": "K2JCJMDEHXQW5F",
        "CLOUDFRONT_PRIVATE_KEY_PEM": "key.pem",
    }
    settings = load_settings({**printed, **real})
    assert settings.cors_allow_origin == tuple(ORIGINS.split(","))
    assert (settings.image_base_path, settings.cloudfront_auth_mode) == ("/images", "cookie")


def test_the_template_has_the_function_as_it_is_tested(template: dict[str, Any], tmp_path: Any) -> None:
    code, _ = template["Resources"]["PreflightFunction"]["Properties"]["FunctionCode"]["Fn::Sub"]
    assert code == (FOLDER / "preflight.js").read_text()
    # The limits of CloudFront Functions, and of a template that is sent without a bucket.
    assert len(code.encode()) < 10_000
    assert (FOLDER / "template.yaml").stat().st_size < 51_200
    for name in ("inline_preflight.py", "template.yaml"):
        (tmp_path / name).write_text((FOLDER / name).read_text())
    (tmp_path / "preflight.js").write_text(f"{code}\n// changed\n")
    subprocess.run([sys.executable, str(tmp_path / "inline_preflight.py")], check=True, timeout=30)
    assert "          // changed\n" in (tmp_path / "template.yaml").read_text()


def test_origins_and_credentials_reach_the_function(template: dict[str, Any], stack: Stack) -> None:
    code = stack.properties("PreflightFunction")["FunctionCode"]
    assert f"var ALLOWED_ORIGINS = '{ORIGINS}'" in code
    assert "var ALLOW_CREDENTIALS = 'true'" in code
    by_url = Stack(template, {**LEAST, "AuthMode": "url"}).properties("PreflightFunction")["FunctionCode"]
    assert "var ALLOW_CREDENTIALS = 'false'" in by_url
