"""Who updates which parameter, where processes share the work out among them."""

from __future__ import annotations

import pytest

from s2s_cli.training.exchange import divide


@pytest.mark.parametrize(
    ("sizes", "processes", "owners"),
    [
        ([4, 2, 2], 1, [0, 0, 0]),
        ([4, 2, 2], 2, [0, 1, 1]),
        ([1, 1, 8, 3, 3], 2, [1, 1, 0, 1, 1]),
        ([5], 3, [0]),
        ([], 2, []),
    ],
)
def test_the_parameters_are_divided_by_size(sizes: list[int], processes: int, owners: list[int]) -> None:
    assert divide(sizes, processes) == owners
