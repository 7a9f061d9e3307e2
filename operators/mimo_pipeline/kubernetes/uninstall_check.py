"""May the operator be uninstalled? Not while a pipeline runs: its jobs would go on, and nobody would follow them up."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mimo_vl.errors import EXIT_DONE, EXIT_PERMANENT, MimoError
from mimo_vl.observability.logging import configure_logging
from operators.mimo_pipeline.api import Phase
from operators.mimo_pipeline.cluster_settings import load_settings
from operators.mimo_pipeline.kubernetes.cluster import Api, ApiError, connect
from operators.mimo_pipeline.kubernetes.resources import PIPELINES
from operators.mimo_pipeline.kubernetes.settings import read_environment

logger = logging.getLogger(__name__)


def running_pipelines(api: Api, namespaces: Sequence[str]) -> list[str]:
    """`namespace/name` of each pipeline in phase Running; none where the CRD is gone."""
    try:
        found = [pipeline for namespace in namespaces for pipeline in api.list(PIPELINES, namespace)]
    except ApiError as error:
        if error.is_not_found:
            return []
        raise
    running = [p["metadata"] for p in found if p.get("status", {}).get("phase") == Phase.RUNNING]
    return sorted(f"{metadata['namespace']}/{metadata['name']}" for metadata in running)


def refusal(running: Sequence[str]) -> str:
    """What the person who uninstalls reads: the ways on, and the way back."""
    return (
        f"pipelines run: {', '.join(running)}; wait for them, or `mimo suspend` or `mimo cancel` them first; "
        "`helm uninstall --no-hooks` leaves them as they are. To keep the release: `helm rollback RELEASE REVISION` to "
        "its last revision (`helm history RELEASE`), because helm upgrades none whose uninstall was refused"
    )


def main() -> int:
    """Exit code 0, or 2 while pipelines run."""
    configure_logging()
    try:
        environment = read_environment()
        settings = load_settings(environment.settings_path)
        running = running_pipelines(connect(), settings.pipeline_namespaces or (environment.namespace,))
    except MimoError as error:
        logger.error("%s", error)
        return error.exit_code
    if not running:
        return EXIT_DONE
    logger.error("%s", refusal(running))
    return EXIT_PERMANENT


if __name__ == "__main__":
    raise SystemExit(main())
