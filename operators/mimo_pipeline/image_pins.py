"""Which bytes does a running pipeline go on with, where its images are named by tag? Those that a node said it runs.

A tag may be moved to another image meanwhile; a digest cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from operators.mimo_pipeline.api import StageKind, StageSpec, StageStatus

# Stage kind -> image of its pods, by the name in the operator's settings.
IMAGE_OF: Mapping[StageKind, str] = {
    StageKind.JOB: "trainer",
    StageKind.PYTORCH: "trainer",
    StageKind.RAY: "rollout",
}


def pinned_images(
    stages: Iterable[StageSpec], statuses: Mapping[str, StageStatus], references: Mapping[str, str]
) -> dict[str, str]:
    """`references` with the digest of the first stage that ran an image in the place of its tag.

    A reference stays as it is where no node has told, and where what it tells is no digest of that repository: an image
    that was imported has none, and a mirror has its own name for it.
    """
    pinned = dict(references)
    for stage in stages:
        image, image_id = IMAGE_OF[stage.kind], statuses[stage.name].image_id
        repository, at, _ = image_id.partition("@")
        if at and repository == _repository_with_tag(pinned.get(image, "")):
            pinned[image] = image_id
    return pinned


def _repository_with_tag(reference: str) -> str | None:
    """The repository; None where the reference is by digest already."""
    if "@" in reference:
        return None
    # A colon before a slash is that of the registry's port.
    repository, colon, tag = reference.rpartition(":")
    return repository if colon and "/" not in tag else reference
