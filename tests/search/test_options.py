from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from s2s_cli.errors import UsageError
from s2s_cli.forms import FormError
from s2s_cli.recipe.schema import Decoding
from s2s_cli.search.options import (
    GREATEST_EXPONENT,
    GREATEST_RATIO,
    MOST_PIECES,
    PENALTIES,
    SamplingOptions,
    SearchOptions,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam", 0),
        ("n_best", 0),
        ("n_best", 6),
        ("normalization", "google"),
        ("length_penalty", -0.1),
        ("length_penalty", math.nan),
        ("length_penalty", math.inf),
        ("min_length", -1),
        ("max_length_ratio", 0.0),
        ("max_length_ratio", math.inf),
        ("max_length_offset", -1),
        ("groups", 0),
        ("groups", 2),
        ("diversity", -1.0),
    ],
)
def test_senseless_values_are_refused_by_name(name, value):
    with pytest.raises(UsageError, match=f"`{name}` must be .*, not {value}"):
        SearchOptions(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0.0), ("temperature", 1e-40), ("top_k", 0), ("top_p", 0.0), ("top_p", 1.1), ("seed", -1)],
)
def test_senseless_sampling_is_refused(name, value):
    with pytest.raises(UsageError, match=name):
        SamplingOptions(**{name: value})


def test_there_may_be_more_draws_than_a_beam_is_wide():
    options = SearchOptions(beam=2, n_best=30, sampling=SamplingOptions())
    assert (options.width, SearchOptions(beam=2).width) == (30, 2)


def test_the_defaults_and_names_are_those_of_the_recipe():
    decoding = Decoding().values(without=["batch_tokens", "split"])
    assert SearchOptions(**decoding) == SearchOptions()
    for normalization in PENALTIES:
        Decoding(normalization=normalization)


def test_options_need_no_torch():
    code = "import sys, s2s_cli.search.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", sorted(PENALTIES))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
def test_penalties_rise_and_take_arrays(name, alpha):
    lengths = np.arange(1, 50, dtype=np.float32)
    penalties = PENALTIES[name](lengths, alpha)
    assert bool((np.diff(penalties) >= 0).all())
    assert penalties.tolist() == pytest.approx([PENALTIES[name](length, alpha) for length in range(1, 50)])
    if alpha == 0.0:
        assert penalties.tolist() == pytest.approx([1.0] * 49)


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_no_penalty_is_too_great_for_a_score_in_float32(name):
    options = SearchOptions(
        normalization=name,
        length_penalty=GREATEST_EXPONENT,
        max_length_ratio=GREATEST_RATIO,
        max_length_offset=MOST_PIECES,
    )
    limits_1 = options.length_limits(np.array([MOST_PIECES + 1])).astype(np.float32)
    least_1 = np.float32(1e-6) / options.penalty(limits_1)
    assert least_1.dtype == np.float32 and least_1[0] >= np.finfo(np.float32).tiny


def test_penalties_of_the_papers():
    assert PENALTIES["wu"](7, 1.0) == 2.0
    assert PENALTIES["wu"](19, 0.5) == 2.0
    assert PENALTIES["average"](4, 1.0) == 4.0
    assert PENALTIES["none"](4, 1.0) == 1.0


def test_limits():
    lengths_B = np.array([1, 2, 6])
    assert SearchOptions(max_length_ratio=1.5, max_length_offset=3).length_limits(lengths_B).tolist() == [3, 4, 10]
    assert SearchOptions(max_length_ratio=0.1, max_length_offset=0).length_limits(lengths_B).tolist() == [1, 1, 1]
    assert SearchOptions(min_length=14).length_limits(lengths_B).tolist() == [15, 15, 20]


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("beam", 1_000),
        ("length_penalty", 5.0),
        ("min_length", 10_000),
        ("max_length_ratio", 100.0),
        ("max_length_offset", 10_000),
    ],
)
def test_what_is_beyond_any_use_is_refused_as_in_a_recipe(name, most):
    assert SearchOptions(**{name: most}) and Decoding(**{name: most})
    with pytest.raises(UsageError, match=f"`{name}` must be .*, not {most + 1}"):
        SearchOptions(**{name: most + 1})
    with pytest.raises(FormError, match=name):
        Decoding(**{name: most + 1})


def test_a_list_that_widens_the_beam_too_far_is_refused_by_its_own_name():
    with pytest.raises(UsageError, match="`n_best` must be 1,000 at most, not 2000"):
        SearchOptions(beam=2_000, n_best=2_000)
