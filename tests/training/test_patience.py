"""Early stopping."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.training.schedule import Patience

scores = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


@given(scores)
def test_an_improvement_is_a_score_above_all_before(values: list[float]):
    patience = Patience(limit=None)
    for update, value in enumerate(values):
        assert patience.judge(value, update) == all(value > earlier for earlier in values[:update])
    assert patience.best == max(values)
    assert patience.best_update == values.index(max(values))
    assert not patience.exhausted


@given(scores, st.integers(1, 5))
def test_it_is_exhausted_when_so_many_validations_in_a_row_were_no_better(values: list[float], limit: int):
    patience = Patience(limit)
    for update, value in enumerate(values):
        patience.judge(value, update)
        seen = values[: update + 1]
        assert patience.exhausted == (update - seen.index(max(seen)) >= limit)


def test_a_score_that_is_no_number_is_no_improvement():
    patience = Patience(1)
    assert not patience.judge(math.nan, 1)
    assert patience.exhausted
    assert patience.judge(0.0, 2)


@given(scores, scores)
def test_a_restored_patience_goes_on_alike_but_with_its_own_limit(before: list[float], after: list[float]):
    patience, other = Patience(3), Patience(7)
    for update, value in enumerate(before):
        patience.judge(value, update)
    other.restore(json.loads(json.dumps(patience.state())))
    assert other.limit == 7
    for update, value in enumerate(after, len(before)):
        assert other.judge(value, update) == patience.judge(value, update)
        assert other.state() == patience.state()
