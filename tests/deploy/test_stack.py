"""The template as a stack in moto, through a rotation; what moto's CloudFormation lacks is made by its API.

What moto has neither way is checked against the SDK's model of CloudFront.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import xform_name
from moto import mock_aws
from moto.cloudformation.parsing import resource_class_from_type
from moto.cloudfront.models import CloudFrontBackend

from tests.deploy.conftest import KEY, LEAST, ORIGINS
from tests.support.cloudformation import Stack
from tests.support.cloudfront_api import to_arguments

REGION = "eu-central-1"
SECOND_KEY = KEY.replace("MIIB", "MIIC")
KMS_KEY = "arn:aws:kms:eu-central-1:123456789012:key/abc"
# By type: the operation of the API, and its argument. moto makes none of these in a stack.
OPERATIONS = {
    "AWS::CloudFront::CachePolicy": ("CreateCachePolicy", "CachePolicyConfig"),
    "AWS::CloudFront::Distribution": ("CreateDistribution", "DistributionConfig"),
    "AWS::CloudFront::KeyGroup": ("CreateKeyGroup", "KeyGroupConfig"),
    "AWS::CloudFront::OriginAccessControl": ("CreateOriginAccessControl", "OriginAccessControlConfig"),
    "AWS::CloudFront::OriginRequestPolicy": ("CreateOriginRequestPolicy", "OriginRequestPolicyConfig"),
    "AWS::CloudFront::PublicKey": ("CreatePublicKey", "PublicKeyConfig"),
    "AWS::CloudFront::ResponseHeadersPolicy": ("CreateResponseHeadersPolicy", "ResponseHeadersPolicyConfig"),
}
# Not made in stacks either; the bucket policy is put by the API of S3, the function's code is run by node.
NOT_IN_STACKS = {*OPERATIONS, "AWS::S3::BucketPolicy", "AWS::CloudFront::Function"}
# moto has no such calls in its API; only the SDK's model checks them.
NOT_IN_API = {
    "AWS::CloudFront::CachePolicy",
    "AWS::CloudFront::OriginRequestPolicy",
    "AWS::CloudFront::ResponseHeadersPolicy",
}


@pytest.fixture
def aws() -> Iterator[boto3.session.Session]:
    with mock_aws():
        yield boto3.session.Session("key", "secret", region_name=REGION)


def for_moto(template: dict[str, Any]) -> str:
    """The template without what moto cannot make, and without the outputs that name it.

    moto puts null where CloudFormation leaves an item of a list out, so the right to use a KMS key
    is left out, too.
    """
    kept = copy.deepcopy(template)
    statements = kept["Resources"]["GatewayPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert "Fn::If" in statements.pop()
    resources = kept["Resources"]
    gone = {name for name, body in resources.items() if body["Type"] in NOT_IN_STACKS}
    kept["Resources"] = {name: body for name, body in resources.items() if name not in gone}
    kept["Outputs"] = {
        name: body
        for name, body in kept["Outputs"].items()
        if not any(f'"{lost}"' in json.dumps(body) for lost in gone)
    }
    return json.dumps(kept)


def as_parameters(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]


def outputs_of(client: Any) -> dict[str, str]:
    [stack] = client.describe_stacks(StackName="images")["Stacks"]
    assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def test_moto_lacks_what_is_said_here_and_nothing_else(template: dict[str, Any]) -> None:
    types = {body["Type"] for body in template["Resources"].values()}
    assert {each for each in types if resource_class_from_type(each) is None} == NOT_IN_STACKS
    calls = {each: xform_name(operation) for each, (operation, _) in OPERATIONS.items()}
    assert {each for each, call in calls.items() if not hasattr(CloudFrontBackend, call)} == NOT_IN_API


def test_bucket_and_policies_are_made_and_updated(
    aws: boto3.session.Session, template: dict[str, Any], stack: Stack
) -> None:
    formation, s3, iam = (aws.client(name) for name in ("cloudformation", "s3", "iam"))
    body, rights = for_moto(template), ["CAPABILITY_IAM"]
    formation.create_stack(
        StackName="images", TemplateBody=body, Parameters=as_parameters(LEAST), Capabilities=rights
    )
    outputs = outputs_of(formation)
    bucket = outputs["S3Bucket"]
    assert outputs["AwsRegion"] == REGION
    assert outputs["CorsAllowOrigin"] == ORIGINS
    assert encryption_of(s3, bucket)["SSEAlgorithm"] == "AES256"
    assert s3.get_bucket_versioning(Bucket=bucket).get("Status") is None
    document = stack.properties("BucketPolicy")["PolicyDocument"]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    for arn in (outputs["GatewayPolicyArn"], outputs["OperatorPolicyArn"]):
        version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]
        assert f"arn:aws:s3:::{bucket}" in json.dumps(version)

    changed = {**LEAST, "SecondPublicKey": SECOND_KEY, "SigningKey": "second", "KmsKeyArn": KMS_KEY}
    formation.update_stack(
        StackName="images", TemplateBody=body, Parameters=as_parameters(changed), Capabilities=rights
    )
    assert outputs_of(formation)["S3Bucket"] == bucket
    assert encryption_of(s3, bucket) == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KMS_KEY}


def encryption_of(client: Any, bucket: str) -> Any:
    [rule] = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    return rule["ApplyServerSideEncryptionByDefault"]


class Edge:
    """What of a stack moto's API of CloudFront makes; `names` translates the names in the template."""

    def __init__(self, aws: boto3.session.Session) -> None:
        self.client = aws.client("cloudfront")
        self.names: dict[str, str] = {}

    def arguments(self, stack: Stack, name: str, **more: str) -> dict[str, Any]:
        resource = stack.resources[name]
        operation, argument = OPERATIONS[resource["Type"]]
        text = json.dumps({**resource["Properties"][argument], **more})
        for reference, real in self.names.items():
            text = text.replace(f'"ref:{reference}', f'"{real}')
        model = self.client.meta.service_model
        return to_arguments(model, operation, argument, json.loads(text))

    def make_keys(self, stack: Stack, group: str) -> str:
        """Make the keys that are missing and a group of all; moto cannot change a group."""
        for name in ("FirstKey", "SecondKey"):
            if name in stack.resources and name not in self.names:
                made = self.client.create_public_key(**self.arguments(stack, name))
                self.names[name] = made["PublicKey"]["Id"]
        made = self.client.create_key_group(**self.arguments(stack, "KeyGroup", Name=group))
        self.names["KeyGroup"] = made["KeyGroup"]["Id"]
        return self.names["KeyGroup"]


def test_the_distribution_is_made_and_gets_a_second_key(
    aws: boto3.session.Session, template: dict[str, Any], stack: Stack
) -> None:
    edge = Edge(aws)
    control = edge.client.create_origin_access_control(**edge.arguments(stack, "OriginAccessControl"))
    edge.names["OriginAccessControl.Id"] = control["OriginAccessControl"]["Id"]
    edge.names["Bucket.RegionalDomainName"] = f"images.s3.{REGION}.amazonaws.com"
    first = edge.make_keys(stack, "first")
    made = edge.client.create_distribution(**edge.arguments(stack, "Distribution", CallerReference="1"))
    identity, etag = made["Distribution"]["Id"], made["ETag"]
    assert key_groups(edge.client, identity) == [[first], [first], []]

    rotating = Stack(template, {**LEAST, "SecondPublicKey": SECOND_KEY})
    both = edge.make_keys(rotating, "both")
    config = edge.arguments(rotating, "Distribution", CallerReference="1")
    edge.client.update_distribution(**config, Id=identity, IfMatch=etag)
    assert key_groups(edge.client, identity) == [[both], [both], []]
    keys = edge.client.get_key_group(Id=both)["KeyGroup"]["KeyGroupConfig"]["Items"]
    assert keys == [edge.names["FirstKey"], edge.names["SecondKey"]]


def key_groups(client: Any, identity: str) -> list[list[str]]:
    """The key groups of the default, of images and of the public path; all of them uncompressed."""
    config = client.get_distribution(Id=identity)["Distribution"]["DistributionConfig"]
    behaviours = [config["DefaultCacheBehavior"], *config["CacheBehaviors"]["Items"]]
    assert not any(behaviour["Compress"] for behaviour in behaviours)
    return [behaviour["TrustedKeyGroups"].get("Items", []) for behaviour in behaviours]


@pytest.mark.parametrize(
    "parameters",
    [
        LEAST,
        {**LEAST, "AuthMode": "url", "AllowedOrigins": "*", "KmsKeyArn": KMS_KEY, "Versioning": "on"},
        {
            **LEAST,
            "Aliases": "images.example.com",
            "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/abc",
            "WebAclArn": "arn:aws:wafv2:us-east-1:123456789012:global/webacl/x/y",
            "PriceClass": "PriceClass_100",
        },
    ],
    ids=["as few as possible", "signed urls", "own name"],
)
def test_every_property_is_one_that_cloudfront_knows(
    aws: boto3.session.Session, template: dict[str, Any], parameters: dict[str, str]
) -> None:
    edge, stack = Edge(aws), Stack(template, parameters)
    made = {
        body["Type"]: edge.arguments(stack, name, CallerReference="1")
        if body["Type"] == "AWS::CloudFront::Distribution"
        else edge.arguments(stack, name)
        for name, body in stack.resources.items()
        if body["Type"] in OPERATIONS
    }
    assert set(made) == set(OPERATIONS)


def test_a_property_that_cloudfront_lacks_is_noticed(
    aws: boto3.session.Session, template: dict[str, Any]
) -> None:
    changed = copy.deepcopy(template)
    changed["Resources"]["CachePolicy"]["Properties"]["CachePolicyConfig"]["MinTtl"] = 0
    with pytest.raises(ValueError, match="MinTtl"):
        Edge(aws).arguments(Stack(changed, LEAST), "CachePolicy")
