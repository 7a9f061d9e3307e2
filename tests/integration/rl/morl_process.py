"""MORL on Ray as a process of its own, so that a test can kill it: world folder, output folder, number of steps."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from jobs.runtime import set_ray_environment
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rl.checkpoint import RunLog
from mimo_vl.schema.manifest import FileEntry
from mimo_vl.storage.checkpoints import newest_complete
from mimo_vl.vocabulary import RewardTask
from tests.fakes.checkpoints import complete
from tests.fakes.rl_world import RlWorld


class FolderStage:
    """Checkpoints in `<folder>/checkpoints`; nobody asks to stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"

    def checkpoint_folder(self, step: int) -> Path:
        path = self.folder / f"step-{step}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def seal_checkpoint(self, step: int, files: tuple[FileEntry, ...]) -> None:
        assert all((self.folder / f"step-{step}" / entry.path).is_file() for entry in files)
        complete(self.folder / f"step-{step}", step=step, stage_key="test")

    def report(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def should_stop(self) -> bool:
        return False

    def add_output(self, files: tuple[FileEntry, ...]) -> None:
        assert all((self.folder.parent / "output" / entry.path).is_file() for entry in files)

    def reward_service_ready(self, url: str) -> None:
        assert url.startswith("http://127.0.0.1:")

    def report_nodes(self, values: Mapping[str, float], index: int) -> None:
        raise AssertionError(f"the driver's node tells of itself, there is no other: {values}")

    def checkpoint_uri(self, checkpoint: Path) -> str:
        return checkpoint.as_uri()


def main(root: Path, out: Path, num_steps: int) -> None:
    set_ray_environment()
    from mimo_vl.rl.actors.session import MorlSession, RayAccess

    world = RlWorld(root)
    with tempfile.TemporaryDirectory() as scratch:
        session = MorlSession(
            settings=world.settings(out, Path(scratch), num_steps),
            rewards=RewardsConfig(),
            reward_models={RewardTask.PREFERENCE_TEXT: partial(Path, world.reward_model_dir)},
            seed=0,
            access=RayAccess(reward_token="test"),
            node_metrics_interval_s=0.1,
        )
        session.run(stage=FolderStage(out), log=RunLog(out / "output"), checkpoint=newest_complete(out / "checkpoints"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
