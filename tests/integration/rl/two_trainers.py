"""Two trainer workers on Ray as a process of its own: world folder, output folder. Prints what came back, as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path

from jobs.runtime import set_ray_environment
from mimo_vl.errors import InputError, MimoError
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.rl.prompts import PromptLibrary
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.rollout import Completion, ScoredGroup
from mimo_vl.vocabulary import RlFamily
from tests.fakes.rl_world import RlWorld

TIMEOUT_S = 240.0


@dataclass(frozen=True, kw_only=True)
class PromptsMissingOnRankOne(WorkerSettings):
    """As if the node of rank 1 could not read its prompts."""

    def build_prompts(self, encoder: SampleEncoder) -> PromptLibrary:
        from torch.distributed import get_rank

        if get_rank() == 1:
            raise InputError("the prompts of rank 1 are missing")
        return super().build_prompts(encoder)


class NoEngines:
    """Takes the weights that the trainer pushes."""

    def load_weights(self, reference: object) -> list[int]:
        import ray

        update = ray.get(reference)
        return [update.version]


def groups() -> tuple[ScoredGroup, ...]:
    """Four groups of two answers of unequal lengths; the last answers are far from what the policy would say."""
    return tuple(
        ScoredGroup(
            step=0,
            prompt_id=f"prompt-{index}",
            prompt_index=index,
            family=RlFamily.PREFERENCE_TEXT,
            completions=tuple(
                Completion(
                    prompt_id=f"prompt-{index}",
                    sample_index=sample,
                    token_ids=tuple(range(20 + 10 * index, 23 + 11 * index + sample)),
                    logprobs=(-1.0 - 30.0 * (index == 3),) * (3 + index + sample),
                    text="",
                    finish_reason="stop",
                    weight_version=0,
                )
                for sample in range(2)
            ),
            rewards=(1.0, 0.0),
        )
        for index in range(4)
    )


def main(root: Path, out: Path) -> None:
    set_ray_environment()
    from mimo_vl.rl.actors.cluster import ray_cluster
    from mimo_vl.rl.actors.trainer import RayTrainerLink

    with tempfile.TemporaryDirectory() as scratch:
        settings = RlWorld(root).settings(out, Path(scratch), 1)
        settings = replace(settings, rl=replace(settings.rl, num_trainer_workers=2))
        values = {field.name: getattr(settings, field.name) for field in fields(settings)}
        told: dict[str, object] = {}
        with ray_cluster("", settings.rl):
            for name, chosen in (("fails", PromptsMissingOnRankOne(**values)), ("works", settings)):
                link = RayTrainerLink(chosen, NoEngines(), resume=None, timeout_s=TIMEOUT_S, num_gpus=0.0)
                try:
                    told[name] = link.update(0, groups()).model_dump()
                except MimoError as error:
                    told[name] = f"{type(error).__name__}: {error}"
                    continue
                told["version"] = link.push_weights()
                told["files"] = sorted(entry.path for entry in link.export())
                link.stop()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
