"""Which metrics did the outputs of a pipeline's stages leave? Read from their manifests, each once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from mimo_vl.errors import InputError, StorageError
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.store import ArtifactStore
from operators.mimo_pipeline.api import StageState, StageStatus

logger = logging.getLogger(__name__)

LastValues = Mapping[str, tuple[int, Mapping[str, float]]]


class ManifestValues:
    """Of one pipeline. What cannot be read now is tried again: metrics are worth no failed round."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._read: dict[str, tuple[int, Mapping[str, float]]] = {}

    def of(self, stages: Iterable[StageStatus]) -> LastValues:
        """By stage: the attempt that made its output, and the metrics of the manifest."""
        found = {}
        for stage in stages:
            if stage.state is StageState.SUCCEEDED and stage.output_uri and self._know(stage.output_uri):
                found[stage.name] = self._read[stage.output_uri]
        return found

    def _know(self, uri: str) -> bool:
        root = self._store.uri()
        if uri not in self._read and uri.startswith(root):
            try:
                manifest = read_manifest(self._store, uri.removeprefix(root).strip("/"))
            except (InputError, StorageError) as error:
                logger.debug("no metrics of uri=%s: %s", uri, error)
                return False
            self._read[uri] = (manifest.attempt, manifest.metrics)
        return uri in self._read
