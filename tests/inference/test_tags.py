"""A tag is in the vocabulary of both sides where they share one, and yet is never written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from s2s_cli import Translator
from s2s_cli.checkpoint.model_directory import load_model_files
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

LETTERS = CharacterTokenizer(["<bt>", *"▁abcdefgh", "<ft>"], ["<bt>", "<ft>"])
SEARCHES = [
    SearchOptions(beam=1),
    SearchOptions(beam=4, n_best=4),
    SearchOptions(beam=4, n_best=4, groups=2),
    SearchOptions(n_best=4, sampling=SamplingOptions(temperature=2.0)),
    SearchOptions(n_best=4, sampling=SamplingOptions(top_k=3)),
]


@pytest.fixture(scope="module", params=["softmax", "copy"])  # no engine fits a model that copies
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tools) -> Path:
    """A model that would write tags more than anything else."""
    path, bias = tmp_path_factory.mktemp("tagged") / "model", dict.fromkeys(LETTERS.tags.values(), 30.0)
    return tools.export(path, ("fr", "en"), TokenizerPair(LETTERS, LETTERS), output=request.param, bias=bias)


@pytest.mark.parametrize(
    ("model", "engine"),
    [("softmax", "reference"), ("softmax", "fast"), ("softmax", "int8"), ("copy", "reference")],
    indirect=["model"],
)
@pytest.mark.parametrize("options", SEARCHES, ids=["greedy", "beam", "diverse", "drawn", "top-k"])
def test_no_search_writes_a_tag(model: Path, engine: str, options: SearchOptions) -> None:
    translator = Translator.load(model, engine=engine)
    found = [
        candidate for line in translator.translate(["abc", "a<bt>b", "<bt>"], options) for candidate in line.n_best
    ]
    assert len(found) >= 3
    assert all(-1e3 < candidate.score <= 0 for candidate in found)
    assert not {"<bt>", "<ft>"} & {token for candidate in found for token in candidate.tokens}


def test_the_weights_on_disk_are_as_trained(model: Path) -> None:
    before = load_model_files(model).weights["output.bias"]
    Translator.load(model)
    assert np.array_equal(load_model_files(model).weights["output.bias"], before)
    assert before[LETTERS.tags["<bt>"]] == 30.0
