"""Subword sampling: a pure function of seed, epoch, pair and side, which never changes the text."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from s2s_cli.data.batches import Pairs
from s2s_cli.data.epochs import SampledPairs
from s2s_cli.data.shards import ParallelData
from s2s_cli.text.segmentation import SEGMENTERS
from s2s_cli.text.sentencepieces import train_sentencepiece
from s2s_cli.text.tokenizer import TokenizerPair
from s2s_cli.training.batches import collate

SOURCE = [f"zero unu doi trei patru {number} cinci sase sapte opt" for number in range(40)]
TARGET = [f"ten {number} eleven twelve thirteen fourteen fifteen" for number in range(40)]
TOKENIZERS = TokenizerPair(
    *(
        train_sentencepiece(lines, model=model, vocabulary=60, character_coverage=1.0)
        for lines, model in ((SOURCE, "unigram"), (TARGET, "bpe"))
    )
)


@pytest.fixture(scope="module")
def data(tools, tmp_path_factory: pytest.TempPathFactory) -> ParallelData:
    source, target = TOKENIZERS.source, TOKENIZERS.target
    sides = {"source": (source.encode(SOURCE), source.size), "target": (target.encode(TARGET), target.size)}
    return tools.write_pairs(tmp_path_factory.mktemp("data"), **sides)


def sampled(
    data: ParallelData, epoch: int, *, source: float | None = 0.2, target: float | None = 0.3, seed: int = 1
) -> SampledPairs:
    return SampledPairs(
        data,
        None if source is None else SEGMENTERS["unigram"](TOKENIZERS.source, source),
        None if target is None else SEGMENTERS["bpe"](TOKENIZERS.target, target),
        seed,
        epoch,
    )


def all_of(pairs: Pairs, order: Sequence[int] = range(40)) -> dict[int, tuple[list[int], list[int]]]:
    return {index: (list(source), list(target)) for index in order for source, target in [pairs.pair(index)]}


def test_segmentations_differ_by_epoch_and_seed_and_the_text_stays(data: ParallelData) -> None:
    best, *found = map(all_of, (data, sampled(data, 0), sampled(data, 1), sampled(data, 0, seed=2)))
    for number, one in enumerate(found):
        for other in (best, *found[:number]):
            assert sum(one[index][0] != other[index][0] for index in range(40)) > 30
            assert sum(one[index][1] != other[index][1] for index in range(40)) > 30
        assert [TOKENIZERS.source.decode(one[index][0]) for index in range(40)] == SOURCE
        assert [TOKENIZERS.target.decode(one[index][1]) for index in range(40)] == TARGET
        assert sum(len(source) for source, _ in one.values()) > 1.05 * sum(len(source) for source, _ in best.values())


def test_a_segmentation_depends_on_nothing_that_was_sampled_before_or_beside_it(data: ParallelData) -> None:
    expected = all_of(sampled(data, 3))
    assert all_of(sampled(data, 3), range(39, -1, -1)) == expected
    assert all_of(sampled(data, 3), [7]) == {7: expected[7]}
    assert all_of(sampled(data, 3, source=None))[7][1] == expected[7][1]
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda shift: all_of(sampled(data, 3), np.roll(range(40), shift)), range(9))
        assert all(one == expected for one in found)


def test_a_side_without_alpha_stays_as_it_is_and_so_does_all_without_any(data: ParallelData) -> None:
    best = all_of(data)
    assert all_of(sampled(data, 0, source=None, target=None)) == best
    found = all_of(sampled(data, 0, source=None))
    assert all(found[index][0] == best[index][0] for index in best)
    assert found != best


def test_sampled_pairs_make_batches(data: ParallelData) -> None:
    pairs = sampled(data, 2)
    batch = collate(pairs, np.array([3, 1]))
    (source, target), (_, other) = pairs.pair(1), pairs.pair(3)
    assert batch.source_BS[1, : len(source)].tolist() == list(source)
    assert batch.target_lengths_B.tolist() == [len(other) + 1, len(target) + 1]
