from __future__ import annotations

import numpy as np
import pytest
from table_model import TableModel, batch, trace

from s2s_cli.errors import DataError
from s2s_cli.search.beam import beam_search
from s2s_cli.search.ensemble import Ensemble
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.tokenizer import BOS, EOS

SENTENCES = [[5, 6, 7], [4], [9, 4]]
OPTIONS = SearchOptions(beam=4, n_best=3)


def test_an_ensemble_of_one_is_its_member():
    model = TableModel(vocabulary=70, seed=1)
    alone = beam_search(model, *batch(SENTENCES), OPTIONS)
    ensemble = beam_search(Ensemble([model]), *batch(SENTENCES), OPTIONS)
    assert [[(h.ids, h.score) for h in found] for found in ensemble] == [
        [(h.ids, h.score) for h in found] for found in alone
    ]


def test_probabilities_and_attention_are_averaged():
    models = [TableModel(seed=seed) for seed in range(3)]
    ensemble = Ensemble(models)
    source = batch(SENTENCES)
    step, _ = ensemble.step(np.full((3, 1), BOS), ensemble.start(*source))
    steps = [model.step(np.full((3, 1), BOS), model.start(*source))[0] for model in models]
    np.testing.assert_allclose(np.exp(step.log_probs()), sum(np.exp(s.log_probs_BKV) for s in steps) / 3, rtol=1e-5)
    np.testing.assert_allclose(step.attention_BKS, sum(s.attention_BKS for s in steps) / 3, rtol=1e-6)


def test_the_search_moves_all_members_alike():
    models = [TableModel(vocabulary=12, seed=seed) for seed in range(2)]
    for source, found in zip(SENTENCES, beam_search(Ensemble(models), *batch(SENTENCES), OPTIONS), strict=True):
        for hypothesis in found:
            symbols, log_prob = hypothesis.ids + [EOS] * hypothesis.finished, 0.0
            for place in range(len(symbols)):
                steps = [
                    trace(model, source, symbols[: place + 1])[0] - trace(model, source, symbols[:place])[0]
                    for model in models
                ]
                log_prob += np.log(np.exp(steps).mean())
            assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-4)


def test_unlike_vocabularies_are_refused():
    with pytest.raises(DataError, match="7, 9"):
        Ensemble([TableModel(vocabulary=7), TableModel(vocabulary=9)])
