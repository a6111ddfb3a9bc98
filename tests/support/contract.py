"""Holds responses against openapi.yaml, closed: a field that the file does not name is an error."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from flask.testing import FlaskClient
from openapi_core import OpenAPI
from openapi_core.contrib.werkzeug import WerkzeugOpenAPIRequest, WerkzeugOpenAPIResponse
from openapi_core.templating.paths.exceptions import OperationNotFound, PathNotFound
from openapi_core.validation.response.exceptions import ResponseValidationError
from werkzeug.test import TestResponse

CONTRACT = Path(__file__).parents[2] / "openapi.yaml"


@cache
def load_contract() -> dict[str, Any]:
    """Return openapi.yaml, parsed by libyaml; it is not to be changed."""
    return yaml.load(CONTRACT.read_text(), yaml.CSafeLoader)


def close_objects(contract: dict[str, Any]) -> dict[str, Any]:
    """The contract with every answered object closed; requests stay open, as clients send more."""
    closed = copy.deepcopy(contract)
    for section in ("schemas", "responses"):
        _close(closed["components"][section])
    for path in closed["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict):
                _close(operation.get("responses", {}))
    return closed


def _close(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _close(item)
    if isinstance(node, dict):
        for item in node.values():
            _close(item)
        if "properties" in node and isinstance(node["properties"], dict) and node.get("type") == "object":
            node.setdefault("additionalProperties", False)


class ContractRequest(WerkzeugOpenAPIRequest):
    """A request whose body the app has read already."""

    body = None


class ContractResponse(WerkzeugOpenAPIResponse):
    """A response whose bytes are not judged: there is no schema for them, and none may be there."""

    @property
    def data(self) -> bytes:
        return b"bytes" if self.content_type == "application/octet-stream" else super().data


class ContractChecker:
    """Validates responses of documented paths; the others must be errors of the one shape."""

    def __init__(self, contract: dict[str, Any]) -> None:
        self._openapi = OpenAPI.from_dict(close_objects(contract))

    def check(self, response: TestResponse) -> None:
        """Raise AssertionError when the response is not what the contract says."""
        if response.request.method == "OPTIONS":
            assert response.status_code == 204
            return
        try:
            self._openapi.validate_response(ContractRequest(response.request), ContractResponse(response))
        except (PathNotFound, OperationNotFound):
            _check_refusal(response)
        except ResponseValidationError as error:
            what = f"{response.request.method} {response.request.path}"
            raise AssertionError(f"{what}: {_reason(error)}") from error


def _check_refusal(response: TestResponse) -> None:
    """What the contract does not know must be refused, in the one shape of error, or be of the console."""
    if response.status_code in (200, 304) and "Cross-Origin-Embedder-Policy" in response.headers:
        return
    assert response.status_code in (404, 405, 413, 414, 500), f"{response.request.path} is not documented"
    if "X-Error-Code" in response.headers:
        assert response.data == b"", "an error of a view has a body"
        return
    assert response.request.method == "HEAD" or set(response.get_json()["error"]) == {"code", "message"}


def _reason(error: BaseException) -> str:
    cause = error.__cause__
    errors = getattr(cause, "schema_errors", None)
    details = [str(detail.message) for detail in errors] if errors else [str(cause)] if cause else []
    return "; ".join([str(error), *details])


class ContractClient(FlaskClient):
    """A test client that holds every response against the contract."""

    checker: ContractChecker

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        # Read and closed as a server would do it, unless a test asks for the stream.
        kwargs.setdefault("buffered", True)
        response = super().open(*args, **kwargs)
        if not (response.is_streamed and kwargs.get("buffered") is False):
            self.checker.check(response)
        return response
