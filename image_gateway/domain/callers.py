"""The caller of a request."""

from __future__ import annotations

from dataclasses import dataclass

from image_gateway.domain.leases import Lease


@dataclass(frozen=True)
class Caller:
    """The caller of a request: a user (possibly an admin), the bearer of a lease, or anonymous."""

    user: str | None = None
    admin: bool = False
    lease: Lease | None = None

    @property
    def is_nobody(self) -> bool:
        return self.user is None and self.lease is None


NOBODY = Caller()
