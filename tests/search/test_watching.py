"""A watched search finds what the search finds, and tells all that it chose from."""

from __future__ import annotations

import numpy as np
import pytest
from table_model import TableModel

from s2s_cli.search.beam import beam_search
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.watching import Continuation, watched_beam_search
from s2s_cli.text.tokenizer import EOS

SOURCE = [4, 5, 6, EOS]


def paths(steps: list[list[Continuation]]) -> list[list[tuple[list[int], Continuation]]]:
    """For each step what there was to choose from, with all its symbols."""
    found: list[list[tuple[list[int], Continuation]]] = []
    before: list[list[int]] = [[]]
    for step in steps:
        found.append([([*before[each.origin], each.symbol], each) for each in step])
        before = [symbols for symbols, each in found[-1] if each.kept and each.symbol != EOS]
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("beam", [1, 3])
def test_the_search_is_as_it_always_is_and_nothing_is_made_up(seed: int, beam: int):
    model, options = TableModel(seed=seed), SearchOptions(beam=beam, n_best=beam)
    found, steps = watched_beam_search(model, SOURCE, options)
    [plain] = beam_search(model, np.array([SOURCE]), np.array([len(SOURCE)]), options)
    assert [each.ids for each in found] == [each.ids for each in plain]
    told = paths(steps)
    for hypothesis in plain:
        symbols = [*hypothesis.ids, EOS] if hypothesis.finished else hypothesis.ids
        [match] = [each for path, each in told[len(symbols) - 1] if path == symbols]
        assert match.kept and match.log_prob == pytest.approx(hypothesis.log_prob, abs=1e-5)
    for step in steps:
        open_ones = [each for each in step if each.kept and each.symbol != EOS]
        assert len(open_ones) <= beam
        assert [each.log_prob for each in step] == sorted((each.log_prob for each in step), reverse=True)
        lost = [each.log_prob for each in step if not each.kept and each.symbol != EOS]
        assert max(lost, default=-np.inf) <= min(each.log_prob for each in open_ones)
