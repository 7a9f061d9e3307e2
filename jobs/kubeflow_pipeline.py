"""The pipeline in Kubeflow Pipelines: one step per stage of a profile, in the order of the stages. Needs the extra kfp.

`python -m jobs.kubeflow_pipeline` writes the compiled package of every profile (`make generate`), `--check` compares
them (`make verify`), and `--image` compiles for an image of another registry. No caching: a step shows a stage, and
the platform itself reuses what was made before. No exit handler: `finalize` is a stage like the others.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kfp import compiler, dsl

from mimo_vl.config.compose import compose
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.api import StageSpec
from operators.mimo_pipeline.chart_images import CHART, chart_version
from operators.mimo_pipeline.kubeflow.package import PACKAGES
from operators.mimo_pipeline.profile_graph import graph_of

# kfp reads annotations at run time: no `from __future__ import annotations` here.

logger = logging.getLogger(__name__)

PROFILES = ("tiny", "smol", "mimo_vl_7b")
DEFAULT_ENDPOINT = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
_DATA_STAGES = (StageName.CURATE, StageName.CURATE_RL)


class Components(NamedTuple):
    first: Callable[..., Any]
    model: Callable[..., Any]
    dataset: Callable[..., Any]
    evaluation: Callable[..., Any]
    report: Callable[..., Any]

    def of(self, stage: str) -> Callable[..., Any]:
        others = dict.fromkeys(_DATA_STAGES, self.dataset)
        others |= {StageName.EVALUATE: self.evaluation, StageName.FINALIZE: self.report}
        return others.get(StageName(stage), self.model)


def build_components(image: str) -> Components:
    """Their code is in the image; what is compiled into the package only calls it."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def make_pipeline(
        run_id: str,
        profile: str,
        overrides: list[str],
        inputs: list[str],
        storage: dict[str, Any],
        stages: list[str],
        through: str,
        from_stage: str,
        name: str,
        namespace: str,
        follow: bool,
        run_dir: str,
        deadline_s: float,
        kfp_ui: str,
        kfp_endpoint: str,
    ) -> dict[str, Any]:
        values = dict(locals())
        from jobs.kfp_component import make_pipeline

        return make_pipeline(values)

    @dsl.component(base_image=image, install_kfp_package=False)
    def model_stage(
        stage: str, request: dict[str, Any], metrics: dsl.Output[dsl.Metrics], model: dsl.Output[dsl.Model]
    ) -> None:
        from jobs.kfp_component import follow_stage

        follow_stage(stage, request, metrics, model)

    @dsl.component(base_image=image, install_kfp_package=False)
    def data_stage(
        stage: str, request: dict[str, Any], metrics: dsl.Output[dsl.Metrics], dataset: dsl.Output[dsl.Dataset]
    ) -> None:
        from jobs.kfp_component import follow_stage

        follow_stage(stage, request, metrics, dataset)

    @dsl.component(base_image=image, install_kfp_package=False)
    def evaluation_stage(
        stage: str, request: dict[str, Any], metrics: dsl.Output[dsl.Metrics], results: dsl.Output[dsl.Artifact]
    ) -> None:
        from jobs.kfp_component import follow_stage

        follow_stage(stage, request, metrics, results)

    @dsl.component(base_image=image, install_kfp_package=False)
    def report_stage(
        stage: str, request: dict[str, Any], metrics: dsl.Output[dsl.Metrics], report: dsl.Output[dsl.HTML]
    ) -> None:
        from jobs.kfp_component import follow_report

        follow_report(stage, request, metrics, report)

    return Components(make_pipeline, model_stage, data_stage, evaluation_stage, report_stage)


def build_pipeline(default_profile: str, graph: list[StageSpec], image: str) -> Any:
    """Steps for all stages of the profile's graph; those that a run leaves out, or is given, end at once."""
    components = build_components(image)

    @dsl.pipeline(
        name=f"mimo-{default_profile.replace('_', '-')}",
        description=f"The stages of a MimoPipeline of profile {default_profile}",
    )
    def pipeline(
        profile: str = default_profile,
        overrides: list[str] = [],  # noqa: B006 - kfp stores the default, nobody changes it
        inputs: list[str] = [],  # noqa: B006
        storage: dict[str, Any] = {},  # noqa: B006
        stages: list[str] = [],  # noqa: B006
        through: str = "",
        from_stage: str = "",
        name: str = "",
        namespace: str = "",
        follow: bool = False,
        run_dir: str = "",
        deadline_s: float = 604800.0,
        kfp_ui: str = "",
        kfp_endpoint: str = DEFAULT_ENDPOINT,
    ) -> None:
        parameters = dict(locals())
        for free in ("components", "graph"):
            parameters.pop(free, None)
        first = components.first(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **parameters)
        first.set_caching_options(False)
        tasks: dict[str, Any] = {}
        for stage in graph:
            task = components.of(stage.name)(stage=stage.name, request=first.output)
            task.set_display_name(stage.name).set_caching_options(False)
            tasks[stage.name] = task.after(*(tasks[needed] for needed in stage.depends_on))

    return pipeline


def package_text(profile: str, image: str) -> str:
    pipeline = build_pipeline(profile, graph_of(compose(profile)), image)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "package.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text(encoding="utf-8")


def default_image() -> str:
    return f"mimo-kfp:{chart_version(CHART)}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a package is not up to date")
    parser.add_argument("--image", default=default_image(), help="image of the steps")
    parser.add_argument("--output-dir", type=Path, default=PACKAGES)
    chosen = parser.parse_args(arguments)
    stale = 0
    for profile in PROFILES:
        path = chosen.output_dir / f"{profile}.yaml"
        text = package_text(profile, chosen.image)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if chosen.check:
            logger.error("%s is not what the code generates; run `make generate` and commit it", path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            logger.info("wrote %s", path)
    return 1 if chosen.check and stale else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main())
