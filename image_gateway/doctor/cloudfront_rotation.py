"""Says how far a rotation of CloudFront's keys is, and checks with real requests that it may go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from image_gateway.cdn.keys import UnusableKey, load_signing_key
from image_gateway.cdn.signer import BUCKETS_PER_LIFETIME
from image_gateway.components import make_cdn
from image_gateway.doctor.cloudfront import check_removal, make_check
from image_gateway.doctor.cloudfront_reads import Results, broken, sign_target, warning
from image_gateway.doctor.cloudfront_targets import Target, open_targets
from image_gateway.doctor.http_probe import Send, send_request
from image_gateway.domain.findings import Check
from image_gateway.services.stream_urls import Cdn
from image_gateway.settings import Settings


class Step(IntEnum):
    """The steps of a rotation; the value is the one that comes next."""

    MAKE_KEY = 1
    ADD_KEY = 2
    SWITCH = 3
    WAIT = 4
    REMOVE_KEY = 5
    DONE = 6


@dataclass(frozen=True)
class RotatedKey:
    """A key pair that takes part; `private_key` is PEM or the path of a file."""

    key_pair_id: str
    private_key: str = field(repr=False)


@dataclass
class Rotation:
    """A rotation of the key that the settings name, from `old` to `new`.

    Attributes:
        old: The key that is to go, or None if the settings still name it.
        new: The key that is to come, or None if there is none yet or the settings name it already.
        switched_at: When the last gateway got the new key, aware; None if it has not or is not known.
    """

    settings: Settings
    old: RotatedKey | None = None
    new: RotatedKey | None = None
    switched_at: datetime | None = None
    send: Send = send_request
    clock: Callable[[], float] = time.time
    step: Step | None = field(default=None, init=False)

    @property
    def has_switched(self) -> bool:
        """Whether the gateway signs with the new key, as far as these settings say."""
        current = self.settings.cloudfront_key_pair_id
        if self.new is not None:
            return self.new.key_pair_id == current
        return self.old is not None and self.old.key_pair_id != current

    @property
    def expires_at(self) -> datetime | None:
        """When the last signature of the old key expires; None if it is not known."""
        if self.switched_at is None:
            return None
        lifetime = self.settings.cloudfront_signed_ttl_seconds
        # Expiries are rounded up to a part of the lifetime.
        longest = lifetime + max(1, lifetime // BUCKETS_PER_LIFETIME)
        return self.switched_at + timedelta(seconds=longest)

    @property
    def is_over(self) -> bool:
        """Whether all signatures of the old key have expired."""
        expiry = self.expires_at
        return expiry is not None and datetime.fromtimestamp(self.clock(), UTC) >= expiry

    def checks(self) -> Iterator[Check]:
        """Try every key that is known, and set `step`, unless the distribution does not answer.

        Raises:
            GatewayError: There is nothing to read; see open_targets.
            SettingsError: The settings name no usable key.
            ValueError: A key that takes part cannot be used; the message contains nothing of it.
        """
        current = make_cdn(self.settings, clock=self.clock)
        if current is None:
            raise ValueError("CLOUDFRONT_DOMAIN is not set")
        given = {"old": self.old, "new": self.new}
        keys = {name: self._cdn_with(name, key) for name, key in given.items() if key}
        left: list[str] = []
        with open_targets(self.settings, 1, left) as (target,):
            accepted: dict[str, bool] = {}
            yield self._check("the key that the gateway signs with", current, target, accepted, "current")
            for name, cdn in keys.items():
                yield self._check(f"the {name} key", cdn, target, accepted, name)
        yield from check_removal(left)
        if "current" in accepted:
            self.step = self._next_step(accepted)

    def _check(self, name: str, cdn: Cdn, target: Target, accepted: dict[str, bool], role: str) -> Check:
        key_id = cdn.signer.sign_policy(f"https://{cdn.domain}{target.path}").key_pair_id

        def results() -> Results:
            answer = self.send("GET", sign_target(cdn, target), {"Range": "bytes=0-0"})
            accepted[role] = answer.status in (200, 206)
            yield f"{key_id}: {'accepted' if accepted[role] else 'refused'}, {answer.shown}"
            if role == "current" and not accepted[role]:
                yield broken(
                    "cloudfront-key-refused",
                    f"the distribution refuses {key_id}, with which the gateway signs ({answer.shown})",
                    "Readers cannot read any image.",
                    "put the key back into the key group, or give the gateway the other key",
                )
            if role == "new" and not accepted[role] and not self.has_switched:
                yield warning(
                    "cloudfront-new-key-refused",
                    f"the distribution does not accept {key_id} yet ({answer.shown})",
                    "A gateway that signed with it would hand out signatures that nobody can use.",
                    "deploy the template with its public key, and wait some minutes",
                )
            if role == "old":
                yield from self._judge_old(key_id, accepted=accepted[role])

        return make_check(name, results)

    def _judge_old(self, key_id: str, *, accepted: bool) -> Results:
        if not accepted and not self.is_over:
            yield broken(
                "cloudfront-old-key-removed-early",
                f"the distribution refuses {key_id}, and its last signatures may not have expired",
                "Whoever reads with a signature of the old key is cut off.",
                "put the public key back until the signatures have expired; "
                "give --switched-at if that is the case",
            )
        if accepted and self.is_over:
            yield warning(
                "cloudfront-old-key-trusted",
                f"the distribution still accepts {key_id}, whose signatures have all expired",
                "Whoever has the old private key can sign for every image.",
                "deploy the template with an empty parameter in place of the old public key",
            )

    def _cdn_with(self, name: str, key: RotatedKey) -> Cdn:
        try:
            sign = load_signing_key(key.private_key)
        except UnusableKey as error:
            raise ValueError(f"the {name} key {error}") from None
        settings = replace(
            self.settings,
            cloudfront_key_pair_id=key.key_pair_id,
            cloudfront_private_key_pem=key.private_key,
        )
        cdn = make_cdn(settings, sign=sign, clock=self.clock)
        if cdn is None:
            raise ValueError("CLOUDFRONT_DOMAIN is not set")
        return cdn

    def _next_step(self, accepted: dict[str, bool]) -> Step:
        if not self.has_switched:
            if self.new is None:
                return Step.MAKE_KEY
            return Step.SWITCH if accepted.get("new") else Step.ADD_KEY
        if not self.is_over:
            return Step.WAIT
        return Step.DONE if accepted.get("old") is False else Step.REMOVE_KEY
