"""The container of a stage: command, environment, mounts and rights. Its volumes: volumes.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimo_vl.schema.environment import VARIABLES
from operators.mimo_pipeline.api import PodSettings
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.input_stores import input_credentials, input_stores, store_credentials
from operators.mimo_pipeline.builders.metadata import STAGE_METRICS_PORT
from operators.mimo_pipeline.builders.pod_settings import launcher_grace_s, num_gpus
from operators.mimo_pipeline.builders.process import STAGE_MODULES, RunFacts, stage_environment
from operators.mimo_pipeline.builders.volumes import CA_FILE, CONFIG_FILE, SCRATCH_DIR, TMP_DIR, Mounted, mounts
from operators.mimo_pipeline.cluster_settings import Image
from operators.mimo_pipeline.plan import Create

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# All that restricted Pod Security asks of a container, and a root file system that cannot be written.
SECURITY_CONTEXT: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def build_container(
    name: str,
    image: Image,
    settings: PodSettings,
    *,
    env: Sequence[Mapping[str, Any]],
    mounted: Sequence[Mounted],
    command: Sequence[str] = (),
) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": name,
        "image": image.reference,
        "imagePullPolicy": image.pull_policy,
        "env": [dict(variable) for variable in env],
        "resources": resources(settings),
        "volumeMounts": mounts(mounted),
        "securityContext": dict(SECURITY_CONTEXT),
    }
    if command:
        container["command"] = list(command)
    return container


def launch_command(stage: str, *, num_procs: int = 1) -> list[str]:
    """Plain words: configuration reaches the launcher by environment and mounted file, never by argument."""
    return ["python", "-m", "jobs.launch", "--nproc", str(num_procs), "--", STAGE_MODULES[stage]]


def resources(settings: PodSettings) -> dict[str, dict[str, str]]:
    return {
        name: dict(values) for name, values in (("requests", settings.requests), ("limits", settings.limits)) if values
    }


def stage_env(
    create: Create, settings: PodSettings, facts: ClusterFacts, image: Image, extra: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """All that a process of this stage reads. Nobody's tuning variable overrides ours; no name comes twice."""
    plain = {
        **settings.env,
        **base_env(facts),
        **_contract(create, facts, image),
        "MIMO_SCRATCH": SCRATCH_DIR,
        "MIMO_LOG_FORMAT": "json",
        "MIMO_METRICS_PORT": str(STAGE_METRICS_PORT),
        "MIMO_GRACE_S": str(launcher_grace_s(settings)),
        # Caches of compilers and libraries.
        "HOME": SCRATCH_DIR,
        **({"DS_ACCELERATOR": "cpu"} if num_gpus(settings) == 0 else {}),
        **({"SSL_CERT_FILE": CA_FILE, "AWS_CA_BUNDLE": CA_FILE} if facts.store.ca_config_map else {}),
        **(extra or {}),
    }
    return [*named_values(plain), *store_credentials(facts.store.secret), *input_credentials(create, facts)]


def base_env(facts: ClusterFacts) -> dict[str, str]:
    """What every Python process in a pod needs, the submitter's too."""
    environment = facts.settings.environment
    return {
        # KubeRay starts Ray in a shell that reads no profile.
        **({"PATH": f"{environment.path}/venv/bin:{_SYSTEM_PATH}"} if environment else {}),
        "HOME": TMP_DIR,
        "TMPDIR": TMP_DIR,
        # The user has no entry in the image's passwd; torch asks for its name.
        "USER": "mimo",
        "PYTHONUNBUFFERED": "1",
    }


def named_values(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _contract(create: Create, facts: ClusterFacts, image: Image) -> dict[str, str]:
    run = RunFacts(
        namespace=facts.namespace,
        pipeline=facts.pipeline,
        run_id=facts.run_id,
        store_uri=facts.store.uri,
        config_path=CONFIG_FILE,
        code_digest=facts.code_digest,
        python="python",
        modules=STAGE_MODULES,
        num_procs={},
        input_stores=input_stores(facts),
        image=image.reference,
    )
    shown = {"tracking_uri": facts.tracking_uri, "kfp_run": facts.kfp_run}
    return stage_environment(create, run) | {VARIABLES[name]: value for name, value in shown.items()}
