"""kopf as a watch layer: every event only puts a pipeline's key into the queue. No finalizers, annotations, retries."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import kopf

from operators.mimo_pipeline.cluster_pods import parse_pod
from operators.mimo_pipeline.kubernetes.resources import LEAVES, PIPELINES, PODS, Resource
from operators.mimo_pipeline.naming import LABEL_PIPELINE
from operators.mimo_pipeline.pod_history import PodHistory

# (namespace, pipeline, is it the pipeline object itself)
OnEvent = Callable[[str, str, bool], None]

_PREFIX = "mimo.dev"


def watch(
    resources: Iterable[Resource],
    namespaces: Iterable[str],
    on_event: OnEvent,
    history: PodHistory,
    stop: threading.Event,
) -> None:
    """Blocking, with an event loop of its own, until `stop`: kopf ends the tasks of the loop that it runs in."""
    asyncio.run(
        kopf.operator(
            registry=build_registry(resources, on_event, history),
            settings=build_settings(),
            namespaces=list(namespaces),
            standalone=True,
            stop_flag=stop,
        )
    )


def watched(served: Iterable[Resource]) -> list[Resource]:
    present = set(served)
    return [PIPELINES, PODS, *(r for r in LEAVES if r in present)]


def build_registry(resources: Iterable[Resource], on_event: OnEvent, history: PodHistory) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    # The credentials of the official client: a ServiceAccount's, or those of a kubeconfig.
    kopf.on.login(registry=registry)(kopf.login_via_client)
    for resource in resources:
        labels = None if resource is PIPELINES else {LABEL_PIPELINE: kopf.PRESENT}

        async def notice(*, body: Mapping[str, Any], param: Any = None, **_: Any) -> None:
            note_event(param, body, on_event, history)

        kopf.on.event(
            group=resource.group,
            version=resource.version,
            plural=resource.plural,
            id=f"notice-{resource.plural}",
            param=resource,
            labels=labels,
            registry=registry,
        )(notice)
    return registry


def note_event(resource: Resource, body: Mapping[str, Any], on_event: OnEvent, history: PodHistory) -> None:
    metadata = body["metadata"]
    namespace = metadata["namespace"]
    if resource == PIPELINES:
        on_event(namespace, metadata["name"], True)
        return
    pipeline = (metadata.get("labels") or {}).get(LABEL_PIPELINE)
    if not pipeline:
        return
    if resource == PODS:
        pod = parse_pod(body)
        if pod is not None:
            history.record(namespace, pod)
    on_event(namespace, pipeline, False)


def build_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # Streams stall silently: each has an end, and is given up when not even bookmarks come.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 30
    settings.watching.inactivity_timeout = 70
    settings.persistence.finalizer = f"{_PREFIX}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_PREFIX)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_PREFIX)
    # Our events are bound to transitions.
    settings.posting.enabled = False
    # Needs no rights on namespaces and CRDs; discovery.py looks for new kinds.
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.execution.max_workers = 2
    return settings
