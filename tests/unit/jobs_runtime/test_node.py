from __future__ import annotations

import pytest

from jobs.node import read_node
from mimo_vl.errors import ConfigError

SECOND_OF_TWO = {"PET_NNODES": "2", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "job-0", "PET_MASTER_PORT": "29500"}


@pytest.mark.enable_socket
def test_one_node_is_on_loopback() -> None:
    variables = read_node({}).rank_variables(1, 2)
    assert (variables["RANK"], variables["WORLD_SIZE"], variables["MASTER_ADDR"]) == ("1", "2", "127.0.0.1")


def test_ranks_of_the_second_node_follow_those_of_the_first() -> None:
    node = read_node(SECOND_OF_TWO)
    assert not node.is_first
    assert node.rank_variables(2, 4) == {
        "RANK": "6",
        "LOCAL_RANK": "2",
        "WORLD_SIZE": "8",
        "LOCAL_WORLD_SIZE": "4",
        "GROUP_RANK": "1",
        "MASTER_ADDR": "job-0",
        "MASTER_PORT": "29500",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PET_NNODES": "1:4"}, r"PET_NNODES: got '1:4', wanted a number"),
        ({"PET_NODE_RANK": "2"}, r"PET_NODE_RANK: got 2, wanted 0 to 1"),
        ({"PET_NODE_RANK": ""}, r"PET_NODE_RANK: got ''"),
        ({"PET_MASTER_ADDR": ""}, r"PET_MASTER_ADDR: not set"),
    ],
)
def test_a_wrong_node_variable_is_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_node(SECOND_OF_TWO | changes)
