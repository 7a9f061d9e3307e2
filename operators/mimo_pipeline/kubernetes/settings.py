"""What the operator reads from its environment."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from mimo_vl.errors import ConfigError

# Where a pod finds the namespace of its ServiceAccount.
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, kw_only=True)
class OperatorEnvironment:
    settings_path: Path
    namespace: str
    identity: str
    liveness_port: int
    metrics_port: int
    json_logs: bool


def read_environment() -> OperatorEnvironment:
    """Raises ConfigError for what is missing or wrong."""
    return OperatorEnvironment(
        settings_path=Path(os.environ.get("MIMO_OPERATOR_SETTINGS", "/etc/mimo/operator.yaml")),
        namespace=os.environ.get("POD_NAMESPACE") or _namespace_of_account(),
        identity=os.environ.get("POD_NAME") or socket.gethostname(),
        liveness_port=_port("MIMO_LIVENESS_PORT", 8080),
        metrics_port=_port("MIMO_METRICS_PORT", 8081),
        json_logs=os.environ.get("MIMO_LOG_FORMAT", "text") == "json",
    )


def _namespace_of_account() -> str:
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError("POD_NAMESPACE: not set, and no ServiceAccount is mounted; set it") from error


def _port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not 0 <= int(text) <= 65_535:
        raise ConfigError(f"{name}: got {text!r}, wanted a port number")
    return int(text)
