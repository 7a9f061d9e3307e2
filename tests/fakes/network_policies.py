"""Which connections do NetworkPolicies allow? A pure evaluator of networking.k8s.io/v1, for rendered manifests.

A pod that a policy selects may do only what some policy allows, in each direction for itself; others may do anything.
Left out: endPort, named ports.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A pod, or with namespace "" an address outside the cluster."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


def is_allowed(
    policies: Sequence[Policy], source: Endpoint, target: Endpoint, port: int, protocol: str = "TCP"
) -> bool:
    return _may(policies, "Egress", source, target, port, protocol) and _may(
        policies, "Ingress", target, source, port, protocol
    )


def selects(policy: Policy, pod: Endpoint) -> bool:
    return (
        bool(pod.namespace)
        and policy["metadata"]["namespace"] == pod.namespace
        and (matches(policy["spec"]["podSelector"], pod.labels))
    )


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions", []))


def _may(policies: Sequence[Policy], way: str, pod: Endpoint, peer: Endpoint, port: int, protocol: str) -> bool:
    own = [policy for policy in policies if selects(policy, pod) and way in policy["spec"]["policyTypes"]]
    if not own:
        return True
    rules = [(policy, rule) for policy in own for rule in policy["spec"].get(way.lower()) or []]
    peers = "to" if way == "Egress" else "from"
    return any(
        _has_port(rule, port, protocol) and _has_peer(rule.get(peers), peer, policy["metadata"]["namespace"])
        for policy, rule in rules
    )


def _has_port(rule: Mapping[str, Any], port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any(p.get("protocol", "TCP") == protocol and p.get("port", port) == port for p in ports)


def _has_peer(peers: Sequence[Mapping[str, Any]] | None, peer: Endpoint, own_namespace: str) -> bool:
    return not peers or any(_is_peer(described, peer, own_namespace) for described in peers)


def _is_peer(described: Mapping[str, Any], peer: Endpoint, own_namespace: str) -> bool:
    if "ipBlock" in described:
        # Whether a block covers pods is up to the network: here it does, which is the larger permission.
        return ipaddress.ip_address(peer.address) in ipaddress.ip_network(described["ipBlock"]["cidr"])
    if not peer.namespace:
        return False
    if "namespaceSelector" in described:
        if not matches(described["namespaceSelector"], {"kubernetes.io/metadata.name": peer.namespace}):
            return False
    elif peer.namespace != own_namespace:
        return False
    return matches(described.get("podSelector", {}), peer.labels)


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", [])
    held = {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return held[expression["operator"]]
