"""How is a Service of a cluster reached from outside? Through a port that is forwarded as long as a block lasts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from jobs.runtime import is_in_cluster
from mimo_vl.errors import ConfigError, InputError

if TYPE_CHECKING:
    from operators.mimo_pipeline.kubernetes.api_client import PipelineClient

# <service>.<namespace>.svc[.cluster.local]:<port>
_SERVICE = re.compile(r"(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc(?:\.[a-z0-9.-]+)?(?::(?P<port>\d+))?")


def needs_forwarding(address: str) -> bool:
    """`address` is host:port of a Service, and this process does not run in a pod."""
    return _SERVICE.fullmatch(address) is not None and not is_in_cluster()


@contextmanager
def reached_address(client: PipelineClient, address: str, otherwise: str) -> Iterator[str]:
    """host:port by which `address` is reached from here.

    Args:
        client: of the cluster that the Service is in.
        address: host:port; what is no Service is its own answer.
        otherwise: what a user who may not forward ports can do.

    Raises:
        ConfigError: the cluster refuses, or there is no such Service.
    """
    service = _SERVICE.fullmatch(address)
    if service is None or not needs_forwarding(address):
        yield address
        return
    with ExitStack() as stack:
        try:
            forwarded = client.forward(service["name"], service["namespace"], int(service["port"] or 80))
            port = stack.enter_context(forwarded)
        except (ConfigError, InputError) as error:
            raise ConfigError(f"port of {address}: {error}; {otherwise}") from error
        yield f"127.0.0.1:{port}"
