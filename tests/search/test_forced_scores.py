from __future__ import annotations

import numpy as np
import pytest
from table_model import TableModel, batch, trace

from s2s_cli.search.beam import beam_search
from s2s_cli.search.ensemble import Ensemble
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.scoring import forced_log_probs
from s2s_cli.text.tokenizer import EOS

SOURCES = [[5, 6, 7], [4], [9, 4]]
TARGETS = [[4], [6, 5, 4, 6], []]


@pytest.mark.parametrize("padding", [0, 3])
def test_each_pair_as_if_it_were_alone(padding):
    model = TableModel(seed=3)
    target_BT, _ = batch(TARGETS, padding)
    found = forced_log_probs(model, *batch(SOURCES, padding), target_BT)
    expected = [trace(model, s, [*t, EOS])[0] for s, t in zip(SOURCES, TARGETS, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


def test_what_the_search_finds_is_scored_as_by_the_search():
    model = Ensemble([TableModel(vocabulary=12, seed=seed, end_bias=1.0) for seed in range(2)])
    found = [hypotheses[0] for hypotheses in beam_search(model, *batch(SOURCES), SearchOptions(beam=4))]
    assert all(hypothesis.finished for hypothesis in found)
    target_BT, _ = batch([hypothesis.ids for hypothesis in found])
    scores = forced_log_probs(model, *batch(SOURCES), target_BT)
    np.testing.assert_allclose(scores, [h.log_prob for h in found], atol=1e-4, rtol=0)
