"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass

from image_gateway.domain.leases import Lease


@dataclass(frozen=True)
class Caller:
    """Who asks: a user, maybe an admin; or whoever has a lease; or nobody that is known."""

    user: str | None = None
    admin: bool = False
    lease: Lease | None = None

    @property
    def is_nobody(self) -> bool:
        return self.user is None and self.lease is None


NOBODY = Caller()
