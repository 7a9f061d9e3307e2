"""How MLflow opens `mimo-store://` sources: `mlflow.pyfunc.load_model("models:/mimo-vl-tiny@rl")`.

MLflow finds this class by the entry point `mlflow.artifact_repository`; MIMO_STORE names the root of the store.
"""

from __future__ import annotations

from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from mimo_vl.tracking.settings import store_uri
from mimo_vl.tracking.sources import resolve_source


class MimoStoreArtifactRepository(LocalArtifactRepository):
    """Reads a model's folder in the store, in place."""

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        folder = resolve_source(store_uri(), artifact_uri)
        super().__init__(folder, tracking_uri=tracking_uri, registry_uri=registry_uri)
