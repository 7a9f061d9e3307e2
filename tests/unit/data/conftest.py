from __future__ import annotations

import pytest

from mimo_vl.data.pipelines.curate import build_studios
from mimo_vl.data.synthesis.studio import Studio
from mimo_vl.vocabulary import Split


@pytest.fixture(scope="session")
def studios() -> dict[Split, Studio]:
    return build_studios(seed=0, heldout_fraction=0.25)
