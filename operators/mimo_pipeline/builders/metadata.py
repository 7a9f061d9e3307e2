"""How the objects of an attempt are named, labelled and tied to their pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.pod_settings import PodKind
from operators.mimo_pipeline.naming import (
    ANNOTATION_STAGE_KEY,
    API_VERSION,
    KIND,
    LABEL_COMPONENT,
    LABEL_PIPELINE,
    LABEL_RUN,
    labels,
    leaf_name,
    run_label,
)
from operators.mimo_pipeline.plan import Create

# Kueue admits the leaf job; it skips children of an object that it manages itself.
_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
# Where the process of a stage shows its metrics (jobs/stage_metrics.py), and Ray its own on the other nodes. Not a port
# of the container: KubeRay takes the ports of the head's Service from there.
STAGE_METRICS_PORT, RAY_METRICS_PORT = 9095, 8080
# The autoscaler must not drain a node under a rank: all ranks would start anew.
_SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
# Pods with a process of ours in the foreground; in the other Ray pods Ray starts what we ask it to.
STAGE_PROCESS_KINDS = frozenset({PodKind.JOB, PodKind.PYTORCH, PodKind.RAY_HEAD})


def leaf_metadata(create: Create, facts: ClusterFacts, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    queue_name = facts.queue_name or facts.settings.queue_name
    queue = {_QUEUE_LABEL: queue_name} if queue_name else {}
    return {
        "name": leaf_name(facts.pipeline, create.stage, create.attempt),
        "namespace": facts.namespace,
        "labels": {**_labels(create, facts), **queue},
        "annotations": {ANNOTATION_STAGE_KEY: create.key, **(annotations or {})},
        "ownerReferences": [owner_reference(facts)],
    }


def pod_metadata(kind: PodKind, create: Create, facts: ClusterFacts) -> dict[str, Any]:
    """Of a pod template: no job copies its own labels to its pods."""
    return {
        "labels": {**_labels(create, facts), LABEL_COMPONENT: str(kind)},
        "annotations": {ANNOTATION_STAGE_KEY: create.key, _SAFE_TO_EVICT: "false", **_scraping(kind)},
    }


def _scraping(kind: PodKind) -> dict[str, str]:
    """By the convention of Prometheus's examples; the chart's PodMonitor reads them, too."""
    if kind is PodKind.RAY_SUBMITTER:
        return {}
    port = STAGE_METRICS_PORT if kind in STAGE_PROCESS_KINDS else RAY_METRICS_PORT
    return {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": "/metrics"}


def _labels(create: Create, facts: ClusterFacts) -> dict[str, str]:
    return {**labels(facts.pipeline, create.stage, create.attempt), LABEL_RUN: run_label(facts.uid)}


def shared_metadata(name: str, facts: ClusterFacts) -> dict[str, Any]:
    """Of what all attempts of a pipeline share."""
    return {
        "name": name,
        "namespace": facts.namespace,
        "labels": {LABEL_PIPELINE: facts.pipeline},
        "ownerReferences": [owner_reference(facts)],
    }


def owner_reference(facts: ClusterFacts) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": facts.pipeline,
        "uid": facts.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
