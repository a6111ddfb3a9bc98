"""Reads a CloudFormation template and resolves those functions in it that ours uses."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PSEUDO = {
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::StackName": "images",
}
_NOTHING = object()
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9:.]+)\}")


class _Loader(yaml.SafeLoader):
    """Reads `!Name value` as {"Fn::Name": value}."""


def _construct(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _construct)


def load_template(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text(), _Loader)
    return loaded


@dataclass
class Stack:
    """A template with parameters: `resources`, `outputs` and `refusals` as CloudFormation would see them."""

    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    resources: dict[str, dict[str, Any]] = field(init=False)
    outputs: dict[str, dict[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        unknown = set(self.parameters) - set(self.template["Parameters"])
        if unknown:
            raise ValueError(f"no such parameters: {unknown}")
        self._values = {name: self._parameter(name) for name in self.template["Parameters"]}
        kept = {
            name: body
            for name, body in self.template["Resources"].items()
            if "Condition" not in body or self._condition(body["Condition"])
        }
        self.resources = {name: self.resolve(body) for name, body in kept.items()}
        self.outputs = self.resolve(self.template["Outputs"])

    @property
    def refusals(self) -> list[str]:
        """What the rules of the template say against the parameters."""
        return [
            check["AssertDescription"]
            for rule in self.template["Rules"].values()
            if self.resolve(rule["RuleCondition"])
            for check in rule["Assertions"]
            if not self.resolve(check["Assert"])
        ]

    def properties(self, name: str) -> Any:
        return self.resources[name]["Properties"]

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref":
                return self._ref(argument)
            if name.startswith("Fn::"):
                return self._call(name.removeprefix("Fn::"), argument)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not _NOTHING}

    def _parameter(self, name: str) -> Any:
        declared = self.template["Parameters"][name]
        text = str(self.parameters.get(name, declared.get("Default")))
        if text == "None":
            raise ValueError(f"the parameter {name} is required")
        values = text.split(",") if declared["Type"] == "CommaDelimitedList" else [text]
        for value in values:
            if not re.fullmatch(declared.get("AllowedPattern", r"(?s).*"), value):
                raise ValueError(f"{name}={value!r} {declared['ConstraintDescription']}")
            if value not in declared.get("AllowedValues", [value]):
                raise ValueError(f"{name}={value!r} is not allowed")
        return values if declared["Type"] == "CommaDelimitedList" else text

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self._values:
            return self._values[name]
        if name not in self.template["Resources"]:
            raise ValueError(f"nothing is called {name}")
        return f"ref:{name}"

    def _condition(self, name: str) -> bool:
        return bool(self.resolve(self.template["Conditions"][name]))

    def _call(self, name: str, argument: Any) -> Any:
        match name:
            case "If":
                condition, then, otherwise = argument
                return self.resolve(then if self._condition(condition) else otherwise)
            case "GetAtt":
                return f"{self._ref(argument[0])}.{argument[1]}"
            case "Sub":
                return self._substitute(argument)
        values = self.resolve(argument)
        match name:
            case "Equals":
                return values[0] == values[1]
            case "Not":
                return not values[0]
            case "Contains":
                return values[1] in values[0]
            case "Join":
                return values[0].join(values[1])
            case "Select":
                return values[1][values[0]]
        raise ValueError(f"Fn::{name} is not implemented")

    def _substitute(self, argument: Any) -> str:
        text, extra = argument if isinstance(argument, list) else (argument, {})
        known = self.resolve(extra)

        def replace(match: re.Match[str]) -> str:
            name, _, attribute = match[1].partition(".")
            value = known[name] if name in known else self._ref(name)
            return f"{value}.{attribute}" if attribute else str(value)

        return _VARIABLE.sub(replace, text)


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
