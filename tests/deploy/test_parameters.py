"""The choices that operators have: parameters, keys in rotation, outputs, the function of preflights."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import jmespath
import pytest

from image_gateway.settings import SettingsSchema, load_settings
from tests.deploy.conftest import FOLDER, KEY, LEAST, ORIGINS
from tests.support.cloudformation import PSEUDO, Stack, distribution
from tests.support.documents import ROOT, blocks_of

FIELDS = {str(field.data_key): field for field in SettingsSchema().fields.values()}
READ_HEADERS = ["range", "if-range", "if-none-match", "if-match", "if-modified-since", "if-unmodified-since"]


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


def test_a_bucket_of_images_outlives_its_stack_and_an_empty_one_does_not(stack: Stack) -> None:
    bucket = stack.resources["Bucket"]
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_the_longest_name_of_a_stack_fits_all_names(stack: Stack) -> None:
    """Functions and origin access controls have names of at most 64 characters (CloudFront API Reference)."""
    stated = re.search(r"has at most (\d+) characters", (FOLDER / "template.yaml").read_text())
    assert stated is not None
    names = [
        stack.properties("PreflightFunction")["Name"],
        stack.properties("OriginAccessControl")["OriginAccessControlConfig"]["Name"],
    ]
    longest = max(len(name.removeprefix(PSEUDO["AWS::StackName"])) for name in names)
    assert int(stated[1]) + longest == 64


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
        ({**LEAST, "Aliases": "images.example.com"}, "Aliases needs CertificateArn"),
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
