"""Every name and label that the controller writes, built in one place.

Keys in the store: mimo_vl/storage/layout.py. Environment variables: mimo_vl/schema/environment.py.
"""

from __future__ import annotations

import re

# RayJob names end up in pod names with a suffix of 16: 63 - 16 = 47. `<pipeline>-<stage>-<attempt up to 999>`.
MAX_PIPELINE_PLUS_STAGE = 42
MAX_ATTEMPT = 999

LABEL_PIPELINE = "mimo.dev/pipeline"
LABEL_STAGE = "mimo.dev/stage"
LABEL_ATTEMPT = "mimo.dev/attempt"
# Of the pipeline's uid: tells its pods from those of a deleted pipeline of the same name.
LABEL_RUN = "mimo.dev/run"
# What a pod is for; values: builders/pod_settings.py, PodKind.
LABEL_COMPONENT = "mimo.dev/component"
ANNOTATION_STAGE_KEY = "mimo.dev/stage-key"
# What `mimo run` was given besides its folder: a run goes on with the same only.
ANNOTATION_RUN_OPTIONS = "mimo.dev/run-options"
# On a MimoPipeline: who made it, and the run in Kubeflow Pipelines that shows and steers it.
LABEL_MADE_BY = "mimo.dev/made-by"
MADE_BY_KUBEFLOW = "kubeflow-pipelines"
ANNOTATION_KUBEFLOW_RUN = "mimo.dev/kfp-run"

API_VERSION = "mimo.dev/v1alpha1"
KIND = "MimoPipeline"

# Names of PyTorchJobs and RayJobs are labels of DNS names, which start with a letter and have no dots.
_PIPELINE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")

LOCAL_NAMESPACE = "local"


def name_problems(pipeline: str, stage: str) -> list[str]:
    size = len(pipeline) + len(stage)
    if size <= MAX_PIPELINE_PLUS_STAGE:
        return []
    return [
        f"names {pipeline!r} and {stage!r} have {size} characters together, wanted at most {MAX_PIPELINE_PLUS_STAGE}; "
        "shorten one (Kubernetes limits the names of the jobs made from them)"
    ]


def pipeline_name_problems(name: str) -> list[str]:
    if _PIPELINE_NAME.fullmatch(name):
        return []
    return [
        f"metadata.name: got {name!r}, wanted lower-case letters, digits and '-', with a letter first: jobs are named "
        "after it; choose another name"
    ]


def leaf_name(pipeline: str, stage: str, attempt: int) -> str:
    """Name of one attempt's job."""
    return f"{pipeline}-{stage}-{attempt}"


def labels(pipeline: str, stage: str, attempt: int) -> dict[str, str]:
    return {LABEL_PIPELINE: pipeline, LABEL_STAGE: stage, LABEL_ATTEMPT: str(attempt)}


def kubeflow_failure_annotation(stage: str) -> str:
    """Holds the attempt whose failure a step in Kubeflow Pipelines has told: a step that starts again retries it."""
    return f"mimo.dev/kfp-failed.{stage}"


def config_map_name(pipeline: str, uid: str) -> str:
    """Holds the composed configuration. The uid keeps a pipeline that was made anew from the old one's."""
    return f"{pipeline}-{run_label(uid)}-config"


def run_id(namespace: str, pipeline: str, uid: str) -> str:
    return f"{namespace}/{pipeline}/{run_label(uid)}"


def run_label(uid: str) -> str:
    """Short enough to read, long enough to differ from the pipeline of this name that was deleted."""
    return uid[:8]


def pipeline_name_from(folder: str) -> str:
    """A valid pipeline name made from a folder's name, short enough for every default stage.

    The longest default stage, vision-language-alignment, has 25 characters, which leaves 17.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")
    if not slug or not slug[0].isalpha():
        slug = f"run-{slug}".strip("-")
    return slug[:17].rstrip("-")
