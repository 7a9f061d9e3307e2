"""What the admission of a namespace with `restricted` Pod Security would refuse in a pod template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def pod_templates(rendered: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod template inside a job, with its path."""
    for name, value in rendered.items():
        here = f"{path}.{name}".lstrip(".")
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(item, dict):
                if "containers" in item.get("spec", {}):
                    yield f"{here}[{index}]", item
                else:
                    yield from pod_templates(item, f"{here}[{index}]")


def restricted_violations(template: dict[str, Any]) -> list[str]:
    spec = template["spec"]
    found = [f"spec.{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    pod = spec.get("securityContext", {})
    sources = {volume["name"]: set(volume) - {"name"} for volume in spec.get("volumes", [])}
    found += [f"volume {name}: {sorted(kinds)}" for name, kinds in sources.items() if not kinds <= _VOLUMES]
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        found += [f"{container['name']}: {text}" for text in _container_violations(container, pod)]
    return found


def _container_violations(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    capabilities = own.get("capabilities", {})
    profile = own.get("seccompProfile", pod.get("seccompProfile", {}))
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities ALL are not dropped"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"capabilities {capabilities['add']} are added"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if own.get("runAsUser", pod.get("runAsUser")) in (None, 0):
        yield "no numeric user other than 0"
    if profile.get("type") not in ("RuntimeDefault", "Localhost"):
        yield "no seccomp profile"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "a host port"
