"""Turns properties of a CloudFormation template into arguments of CloudFront's API, by the SDK's model."""

from __future__ import annotations

from typing import Any

from botocore.model import ListShape, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

# Where the two differ in more than in lists.
_RENAMED = {
    "IPV6Enabled": "IsIPV6Enabled",
    "AcmCertificateArn": "ACMCertificateArn",
    "SslSupportMethod": "SSLSupportMethod",
}


def to_arguments(model: ServiceModel, operation: str, argument: str, properties: Any) -> dict[str, Any]:
    """Return the arguments of an operation, checked by the SDK's rules; ValueError if they break any."""
    shape = model.operation_model(operation).input_shape
    assert isinstance(shape, StructureShape)
    arguments = {argument: _convert(shape.members[argument], properties)}
    report = ParamValidator().validate(arguments, shape)
    if report.has_errors():
        raise ValueError(report.generate_report())
    return arguments


def _convert(shape: Shape, value: Any) -> Any:
    if isinstance(shape, ListShape):
        return [_convert(shape.member, item) for item in value]
    if not isinstance(shape, StructureShape):
        return value
    if isinstance(value, list):
        counted = {"Quantity": len(value), "Items": _convert(shape.members["Items"], value)}
        return {"Enabled": True, **counted} if "Enabled" in shape.members else counted
    named = {_RENAMED.get(name, name): item for name, item in value.items()}
    if "CachedMethods" in named:
        cached = named.pop("CachedMethods")
        named["AllowedMethods"] = {
            "Quantity": len(named["AllowedMethods"]),
            "Items": named["AllowedMethods"],
            "CachedMethods": {"Quantity": len(cached), "Items": cached},
        }
        return {
            name: item if name == "AllowedMethods" else _convert(_member(shape, name), item)
            for name, item in named.items()
        }
    if "Quantity" in shape.members and "Items" in named:
        named["Quantity"] = len(named["Items"])
    return {name: _convert(_member(shape, name), item) for name, item in named.items()}


def _member(shape: StructureShape, name: str) -> Shape:
    if name not in shape.members:
        raise ValueError(f"{shape.name} has no {name}")
    member: Shape = shape.members[name]
    return member
