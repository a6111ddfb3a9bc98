"""Configures a bucket for browser uploads and verifies the configuration."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError

from image_gateway.storage.client import StoreClients
from image_gateway.storage.cors import EXPOSED, hidden_headers, page_origins, preflight_problem
from image_gateway.storage.probe import ProbeFailed, StoreProbe

_log = logging.getLogger(__name__)
UNSUPPORTED = frozenset({"NotImplemented", "MethodNotAllowed", "501", "405", "XNotImplemented"})
# MinIO rejects a lifecycle rule that only aborts uploads with MalformedXML, RustFS with InvalidArgument.
RULE_UNSUPPORTED = UNSUPPORTED | {"MalformedXML", "InvalidArgument"}
# A fallback for the sweeper, which, unlike a lifecycle rule, knows whether an upload is still active.
ABORT_AFTER_DAYS = 30


class Outcome(StrEnum):
    DONE = "done"
    UNSUPPORTED = "not supported by this store"
    FAILED = "failed"


@dataclass(frozen=True)
class Step:
    """The name and outcome of one set-up step."""

    name: str
    outcome: Outcome
    detail: str = ""


class BucketSetup:
    """Creates and configures the bucket. Each step reports its own outcome; later steps still run."""

    def __init__(self, clients: StoreClients, origins: tuple[str, ...]) -> None:
        self._clients = clients
        self._probe = StoreProbe(clients.address)
        self._bucket = clients.address.bucket
        self._origins = origins

    def run(self) -> Iterator[Step]:
        """Yield each step when it has finished. Idempotent."""
        yield self._try("bucket exists", self._create)
        yield self._try("CORS for browser uploads", self._set_cors)
        yield self._try(
            f"abort incomplete uploads after {ABORT_AFTER_DAYS} days", self._set_lifecycle, RULE_UNSUPPORTED
        )
        yield self._try("CORS preflight of a browser upload", self._check_preflight)
        yield self._try("a presigned PUT works and its ETag is exposed", self._check_put)

    def _try(self, name: str, work: Callable[[], str], unsupported: frozenset[str] = UNSUPPORTED) -> Step:
        try:
            return Step(name, Outcome.DONE, work())
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            outcome = Outcome.UNSUPPORTED if code in unsupported else Outcome.FAILED
            return Step(name, outcome, code)
        except (ProbeFailed, _ProbeFailed) as error:
            return Step(name, Outcome.FAILED, str(error))
        except BotoCoreError as error:
            return Step(name, Outcome.FAILED, type(error).__name__)

    def _create(self) -> str:
        client = self._clients.requests
        try:
            client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ("404", "NoSuchBucket"):
                raise
        else:
            return "already exists"
        region = self._clients.address.region
        if self._clients.address.endpoint is None and region != "us-east-1":
            where = {"LocationConstraint": region}
            client.create_bucket(Bucket=self._bucket, CreateBucketConfiguration=where)  # type: ignore[arg-type]
        else:
            client.create_bucket(Bucket=self._bucket)
        return "created"

    def _set_cors(self) -> str:
        rule = {
            "AllowedOrigins": list(self._origins),
            "AllowedMethods": ["PUT", "GET", "HEAD"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": list(EXPOSED),
            "MaxAgeSeconds": 86_400,
        }
        self._clients.requests.put_bucket_cors(
            Bucket=self._bucket,
            CORSConfiguration={"CORSRules": [rule]},  # type: ignore[list-item]
        )
        return f"for {', '.join(self._origins)}"

    def _set_lifecycle(self) -> str:
        client = self._clients.requests
        rules = [
            rule for rule in self._lifecycle_rules() if rule.get("ID") != "image-gateway-abort-incomplete"
        ]
        rules.append(
            {
                "ID": "image-gateway-abort-incomplete",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_AFTER_DAYS},
            }
        )
        client.put_bucket_lifecycle_configuration(
            Bucket=self._bucket,
            LifecycleConfiguration={"Rules": rules},  # type: ignore[typeddict-item]
        )
        return ""

    def _lifecycle_rules(self) -> list[dict[str, object]]:
        """Return the existing rules, because PutBucketLifecycleConfiguration replaces all of them."""
        try:
            configuration = self._clients.requests.get_bucket_lifecycle_configuration(Bucket=self._bucket)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchLifecycleConfiguration":
                return []
            raise
        return [dict(rule) for rule in configuration.get("Rules", [])]

    def _check_preflight(self) -> str:
        origin = page_origins(self._origins)[0]
        problem = preflight_problem(self._probe, self._sign_put(_probe_key()), origin)
        if problem is not None:
            raise _ProbeFailed(problem)
        return f"from {origin}"

    def _check_put(self) -> str:
        key = _probe_key()
        origin = {"Origin": page_origins(self._origins)[0]}
        try:
            answer = self._probe.send("PUT", self._sign_put(key), body=b"probe", headers=origin)
            if not answer.ok:
                raise _ProbeFailed(f"the store answered {answer.shown}")
            if hidden_headers(answer, ["ETag"]):
                raise _ProbeFailed("the CORS rules do not expose the ETag")
        finally:
            self._clients.requests.delete_object(Bucket=self._bucket, Key=key)
        return ""

    def _sign_put(self, key: str) -> str:
        return self._probe.presign("put_object", public=True, Key=key)


def _probe_key() -> str:
    return f"image-gateway-probe-{secrets.token_hex(8)}"


class _ProbeFailed(Exception):
    """A probe request got a wrong response; the message describes it."""
