"""The log-probabilities of a hypothesis's symbols are the model's own, whatever search found it."""

from __future__ import annotations

import numpy as np
import pytest
from table_model import TableModel, batch, distributions

from s2s_cli.search.beam import beam_search
from s2s_cli.search.diverse import diverse_beam_search
from s2s_cli.search.greedy import greedy_search
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.search.sampling import sample
from s2s_cli.text.tokenizer import EOS

SOURCES = [[5, 6, 7], [4], [9, 4, 4, 4, 4]]


@pytest.mark.parametrize(
    ("search", "options"),
    [
        (beam_search, SearchOptions(beam=4, n_best=3)),
        (beam_search, SearchOptions(beam=3, n_best=3, max_length_ratio=0.2, max_length_offset=1)),  # cut short
        (greedy_search, SearchOptions(beam=1)),
        (diverse_beam_search, SearchOptions(beam=4, groups=2, n_best=3)),
        (sample, SearchOptions(n_best=3, sampling=SamplingOptions(temperature=2.0))),
    ],
)
@pytest.mark.parametrize("end_bias", [-1.0, 1.0])
def test_symbols_have_the_models_log_probs(search, options, end_bias):
    model = TableModel(vocabulary=11, seed=3, end_bias=end_bias)
    for source, hypotheses in zip(SOURCES, search(model, *batch(SOURCES, 2), options), strict=True):
        for found in hypotheses:
            symbols = found.ids + [EOS] * found.finished
            log_probs, _ = distributions(model, source, symbols)
            expected = [log_probs[place, symbol] for place, symbol in enumerate(symbols)]
            np.testing.assert_allclose(found.log_probs, expected, atol=1e-5)
