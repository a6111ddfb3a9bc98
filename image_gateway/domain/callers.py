"""The caller of a request."""

from __future__ import annotations

from dataclasses import dataclass

from image_gateway.domain.leases import HolderKind, Lease


@dataclass(frozen=True)
class Caller:
    """The caller of a request: a user (possibly an admin), the bearer of a lease, or anonymous."""

    user: str | None = None
    admin: bool = False
    lease: Lease | None = None

    @property
    def is_nobody(self) -> bool:
        return self.user is None and self.lease is None

    def holds(self, lease: Lease) -> bool:
        """Return whether this is the holder of a lease, by identity or by the lease itself."""
        if self.lease is not None:
            return self.lease.lease_id == lease.lease_id
        by_name = lease.holder.kind in (HolderKind.USER, HolderKind.ADMIN)
        return by_name and self.user == lease.holder.name


NOBODY = Caller()
