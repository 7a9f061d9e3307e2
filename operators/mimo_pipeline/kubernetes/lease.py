"""Which replica works: a coordination.k8s.io Lease that one of them holds, the others standing by.

Whoever holds it renews it now and then (lease_keeper.py); a standby takes it over when it has not changed for its
duration by the standby's own clock, so clocks need not agree. Who could not renew for two thirds of it ends: by then
nobody else can have begun. The Lease itself is the release's: without it nobody works.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from operators.mimo_pipeline.kubernetes.cluster import Api, ApiError
from operators.mimo_pipeline.kubernetes.resources import LEASES

logger = logging.getLogger(__name__)

LEASE_NAME = "mimo-operator"
RETRY_S = 5.0
# Of its requests, to connect and to read: after one that hangs there is time for another before the deadline.
CONNECT_LIMIT_S, READ_LIMIT_S = 2.0, 3.0
REQUEST_LIMIT_S = CONNECT_LIMIT_S + READ_LIMIT_S


@dataclass(kw_only=True)
class LeaseHolder:
    """Blocking calls; `try_once` is to be called every RETRY_S or sooner. `api`: with REQUEST_LIMIT_S per request."""

    api: Api
    namespace: str
    identity: str
    duration_s: int
    name: str = LEASE_NAME
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        self.is_held = False
        self._renewed_at_s = float("-inf")
        self._tried_at_s = self.clock()
        self._seen: tuple[str, float] = ("", self.clock())

    @property
    def renew_deadline_s(self) -> float:
        return self.duration_s * 2 / 3

    def try_once(self) -> bool:
        """Take or renew it; True if it is held. Without an answer it stays as it was, until the deadline."""
        self._tried_at_s = started_s = self.clock()
        try:
            taken = self._try()
        except ApiError as error:
            logger.warning("lease not renewed: %s", error)
            return self.is_held and not self.is_lost()
        if taken:
            self._renewed_at_s = started_s
        elif self.is_held:
            logger.error("the lease %s/%s is another replica's now, or gone", self.namespace, self.name)
        self.is_held = taken
        return taken

    def is_lost(self) -> bool:
        return self.clock() - self._renewed_at_s > self.renew_deadline_s

    def age_s(self) -> float:
        """Since the last try: a loop that hangs shows here."""
        return self.clock() - self._tried_at_s

    def release(self) -> None:
        """Let the other replica begin at once."""
        if not self.is_held:
            return
        self.is_held = False
        try:
            lease = self.api.get(LEASES, self.namespace, self.name)
            if (lease.get("spec") or {}).get("holderIdentity") == self.identity:
                lease["spec"] = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                self.api.replace(LEASES, self.namespace, lease)
        except ApiError as error:
            logger.warning("lease not released: %s", error)

    def _try(self) -> bool:
        try:
            lease = self.api.get(LEASES, self.namespace, self.name)
        except ApiError as error:
            if not error.is_not_found:
                raise
            logger.warning("no Lease %s/%s: it comes with the release; helm upgrade", self.namespace, self.name)
            return False
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self.identity) and not self._has_expired(lease):
            return False
        return self._write(self._body(lease))

    def _has_expired(self, lease: dict[str, Any]) -> bool:
        """It has not changed while we looked, for the duration that its holder has written into it."""
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self.clock())
        return self.clock() - self._seen[1] > float(lease["spec"].get("leaseDurationSeconds") or self.duration_s)

    def _write(self, body: dict[str, Any]) -> bool:
        """Conditional: of two replicas that try at once, one wins."""
        try:
            self.api.replace(LEASES, self.namespace, body)
        except ApiError as error:
            if error.is_conflict:
                return False
            raise
        return True

    def _body(self, old: dict[str, Any]) -> dict[str, Any]:
        before = old.get("spec") or {}
        stamp = self.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        is_same = before.get("holderIdentity") == self.identity
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": old["metadata"],
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self.duration_s,
                "acquireTime": before.get("acquireTime") if is_same else stamp,
                "renewTime": stamp,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if is_same else 1),
            },
        }
