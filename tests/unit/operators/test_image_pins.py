"""An image named by tag is named by its digest once a node has run it; whatever is no digest of it changes nothing."""

from __future__ import annotations

import pytest

from operators.mimo_pipeline.api import (
    JobWorkload,
    MimoPipelineSpec,
    PytorchWorkload,
    RayWorkload,
    StageSpec,
    StageStatus,
)
from operators.mimo_pipeline.builders.leaf import build_leaf
from operators.mimo_pipeline.image_pins import IMAGE_OF, pinned_images
from tests.fakes.clusters import STAGES, attempt_of, facts_of
from tests.fakes.pipelines import RUNTIME, alive, follow, gone, plan_for, running, stage_of, started, succeeded

_DIGEST, _OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
_TAGS = {"trainer": "registry:5000/team/trainer:1.0", "rollout": "registry:5000/team/rollout:1.0"}
_JOB, _TORCH = StageSpec(name="curate", job=JobWorkload()), StageSpec(name="train", pytorch=PytorchWorkload())
_RAY = StageSpec(name="morl", ray=RayWorkload())


def _pinned(*stages: tuple[StageSpec, str], **references: str) -> dict[str, str]:
    statuses = {stage.name: StageStatus(name=stage.name, image_id=image_id) for stage, image_id in stages}
    return pinned_images([stage for stage, _ in stages], statuses, {**_TAGS, **references})


def test_the_digest_of_a_node_takes_the_place_of_the_tag_for_all_stages_of_that_image() -> None:
    image_id = f"registry:5000/team/trainer@{_DIGEST}"
    assert _pinned((_JOB, image_id), (_TORCH, ""), (_RAY, "")) == {**_TAGS, "trainer": image_id}


def test_ray_stages_tell_of_the_rollout_image() -> None:
    image_id = f"registry:5000/team/rollout@{_DIGEST}"
    assert _pinned((_JOB, ""), (_RAY, image_id)) == {**_TAGS, "rollout": image_id}


@pytest.mark.parametrize(
    "image_id",
    [
        "",
        # Imported into containerd: the digest of a configuration, which no registry serves.
        _DIGEST,
        # Containerd names an image that it has under several names by the first of them.
        f"mirror.example/team/trainer@{_DIGEST}",
        f"registry:5000/team/trainer-debug@{_DIGEST}",
        "registry:5000/team/trainer:1.0",
    ],
)
def test_without_a_digest_of_that_repository_the_tag_stays(image_id: str) -> None:
    assert _pinned((_JOB, image_id)) == _TAGS


def test_what_is_pinned_once_stays_though_another_node_has_other_bytes_under_the_tag() -> None:
    first = f"registry:5000/team/trainer@{_DIGEST}"
    assert _pinned((_JOB, f"registry:5000/team/trainer@{_OTHER}"), trainer=first)["trainer"] == first


def test_a_reference_without_a_tag_is_pinned_too() -> None:
    image_id = f"registry:5000/team/trainer@{_DIGEST}"
    assert _pinned((_JOB, image_id), trainer="registry:5000/team/trainer")["trainer"] == image_id


def test_nothing_is_pinned_where_no_image_was_frozen() -> None:
    assert pinned_images([_JOB], {"curate": StageStatus(name="curate", image_id=f"t@{_DIGEST}")}, {}) == {}


@pytest.mark.parametrize("stage", STAGES["tiny"].values(), ids=STAGES["tiny"])
def test_the_builders_give_a_stage_the_image_that_it_is_pinned_by(stage: StageSpec) -> None:
    images = {"trainer": {"reference": "the-trainer:1"}, "rollout": {"reference": "the-rollout:1"}}
    used = _images(build_leaf(attempt_of(stage), stage, facts_of("tiny", images=images)))
    assert used == {f"the-{IMAGE_OF[stage.kind]}:1"}


def _images(value: object) -> set[str]:
    if isinstance(value, dict):
        here = {value["image"]} if isinstance(value.get("image"), str) else set()
        return here.union(*map(_images, value.values()))
    return set().union(*map(_images, value)) if isinstance(value, list) else set()


_SPEC = MimoPipelineSpec(profile="tiny", stages=(StageSpec(name="a"), StageSpec(name="b", depends_on=("a",))))


def _frozen(reference: str, *stages: StageStatus):
    status = started(_SPEC, *stages)
    assert status.runtime is not None
    return status.model_copy(
        update={"runtime": status.runtime.model_copy(update={"image_digests": {"trainer": reference}})}
    )


def test_the_status_keeps_the_digest_for_the_attempts_that_follow() -> None:
    image_id = f"r/trainer@{_DIGEST}"
    plan = plan_for(_SPEC, _frozen("r/trainer:1", running("a")), alive("a", image_id=image_id))
    assert plan.status is not None
    assert plan.status.runtime is not None
    assert plan.status.runtime.image_digests == {"trainer": image_id}
    # The next attempt's pods have told nothing yet; the pipeline still knows.
    plan = follow(_SPEC, plan.status, gone("a", exit_code=75, checkpoint_step=3, image_id=image_id))
    assert plan.status is not None
    assert plan.status.runtime is not None
    assert (stage_of(plan, "a").attempt, stage_of(plan, "a").image_id) == (2, "")
    assert plan.status.runtime.image_digests == {"trainer": image_id}


def test_the_attempt_that_follows_in_the_same_round_has_the_digest_already() -> None:
    image_id = f"r/trainer@{_DIGEST}"
    ended = succeeded("a").model_copy(update={"image_id": image_id})
    plan = plan_for(_SPEC, _frozen("r/trainer:1", ended))
    assert [c.stage for c in plan.create] == ["b"]
    assert plan.status is not None
    assert plan.status.runtime is not None
    assert plan.status.runtime.image_digests == {"trainer": image_id}
    assert RUNTIME.image_digests == {}, "a run on one machine has no images"
