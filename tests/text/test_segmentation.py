"""Random segmentations: drawn as SentencePiece draws them, and the text stays."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokenizers import LINES

from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.segmentation import _LONGEST, SEGMENTERS, UnigramSegmenter
from s2s_cli.text.sentencepieces import SentencePieceTokenizer, train_sentencepiece
from s2s_cli.text.tokenizer import UNK

MODELS = {
    model: train_sentencepiece(LINES, model=model, vocabulary=150, character_coverage=1.0) for model in SEGMENTERS
}
each_model = pytest.mark.parametrize("model", MODELS)
LETTERS = st.sampled_from([*sorted(set("".join(LINES))), " ", "▁", "ж"])


def drawn_by_the_library(tokenizer: SentencePieceTokenizer, line: str, alpha: float, count: int) -> Counter[tuple]:
    processor = tokenizer._processor
    found = processor.encode([line] * count, enable_sampling=True, alpha=alpha, nbest_size=-1, num_threads=1)
    return Counter(map(tuple, found))


@each_model
@pytest.mark.parametrize("alpha", [0.1, 0.5])
@pytest.mark.parametrize("line", ["playhouse", "Mädchen in hats"])
def test_segmentations_are_as_frequent_as_those_of_the_library(model: str, alpha: float, line: str) -> None:
    tokenizer, count = MODELS[model], 4_000
    (ids,) = tokenizer.encode([line])
    segmenter = SEGMENTERS[model](tokenizer, alpha)
    ours = Counter(tuple(segmenter.segment(ids, seed)) for seed in range(count))
    theirs = drawn_by_the_library(tokenizer, line, alpha, count)
    assert len(ours) > 3
    frequent = [key for key in ours | theirs if ours[key] + theirs[key] >= 20]
    chi_square = sum((ours[key] - theirs[key]) ** 2 / (ours[key] + theirs[key]) for key in frequent)
    assert chi_square < len(frequent) + 12 * (2 * len(frequent)) ** 0.5  # by chance once in a million times


@each_model
def test_as_rarely_as_can_be_is_never(model: str) -> None:
    (ids,) = MODELS[model].encode(["playhouse"])
    for alpha in (5e-324, 1e-17) if model == "bpe" else ():
        assert list(SEGMENTERS[model](MODELS[model], alpha).segment(ids, 1)) == list(ids)


@each_model
@settings(deadline=None)
@given(st.text(LETTERS, max_size=30), st.integers(0, 2**64 - 1))
def test_another_segmentation_has_the_same_text(model: str, line: str, seed: int) -> None:
    tokenizer, segmenter = MODELS[model], SEGMENTERS[model](MODELS[model], 0.2)
    (ids,) = tokenizer.encode([clean_line(line)])
    sampled = segmenter.segment(ids, seed)
    assert tokenizer.decode(sampled) == tokenizer.decode(ids)
    assert sampled.count(UNK) == ids.count(UNK)
    assert sampled == segmenter.segment(ids, seed)


@each_model
def test_the_best_segmentation_of_the_text_of_pieces_is_these_pieces(model: str) -> None:
    """So that the text need not be kept beside the ids."""
    tokenizer = MODELS[model]
    for ids in tokenizer.encode(LINES):
        assert tokenizer.encode([tokenizer.decode(ids)]) == [ids]


@each_model
def test_unknown_symbols_stay_in_their_place(model: str) -> None:
    tokenizer, segmenter = MODELS[model], SEGMENTERS[model](MODELS[model], 0.3)
    (ids,) = tokenizer.encode(["girl ж climbing"])
    place = ids.index(UNK)
    sampled = [segmenter.segment(ids, seed) for seed in range(50)]
    assert len({tuple(each) for each in sampled}) > 5
    for each in sampled:
        parts = each.index(UNK)
        assert tokenizer.decode(each[:parts]) == tokenizer.decode(ids[:place])
        assert tokenizer.decode(each[parts + 1 :]) == tokenizer.decode(ids[place + 1 :])


@each_model
@pytest.mark.parametrize("length", [_LONGEST, _LONGEST + 1, 5 * _LONGEST])
def test_a_word_of_any_length_can_be_segmented(model: str, length: int) -> None:
    tokenizer, segmenter = MODELS[model], SEGMENTERS[model](MODELS[model], 0.1)
    line = ("playhousehats" * length)[: length - 1]  # and the mark of its beginning
    (ids,) = tokenizer.encode([line])
    sampled = segmenter.segment(ids, 5)
    assert tokenizer.decode(sampled) == line
    if model == "unigram":
        assert (sampled == ids) == (length > _LONGEST)


def test_each_merge_can_be_left_out() -> None:
    tokenizer = MODELS["bpe"]
    (ids,) = tokenizer.encode(["playhouse"])
    assert tokenizer.pieces(SEGMENTERS["bpe"](tokenizer, 1.0).segment(ids, 1)) == list("▁playhouse")


def test_words_beyond_those_that_are_kept_are_segmented_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = MODELS["unigram"]
    expected = [SEGMENTERS["unigram"](tokenizer, 0.2).segment(ids, 3) for ids in tokenizer.encode(LINES)]
    monkeypatch.setattr("s2s_cli.text.segmentation._KEPT", 20)
    segmenter = SEGMENTERS["unigram"](tokenizer, 0.2)
    assert [segmenter.segment(ids, 3) for ids in tokenizer.encode(LINES)] == expected


def test_long_words_are_kept_by_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without spaces a whole sentence is a word: a number of them would be no bound of memory."""
    monkeypatch.setattr("s2s_cli.text.segmentation._KEPT", 100)
    segmenter = UnigramSegmenter(MODELS["unigram"], 0.2)
    for number in range(30):
        segmenter.segment(MODELS["unigram"].encode(["playhouse" * (1 + number)])[0], 3)
    assert 100 <= sum(map(len, segmenter._lattices)) < 200


@each_model
def test_it_is_the_same_in_every_process(model: str, tmp_path: Path) -> None:
    """As it is not with the library's own sampling."""
    path = tmp_path / "model"
    path.write_bytes(MODELS[model].to_bytes())
    code = f"""
from pathlib import Path
from s2s_cli.text.segmentation import SEGMENTERS
from s2s_cli.text.sentencepieces import SentencePieceTokenizer
tokenizer = SentencePieceTokenizer(Path({str(path)!r}).read_bytes())
print([SEGMENTERS[{model!r}](tokenizer, 0.2).segment(ids, 7) for ids in tokenizer.encode({LINES[:5]!r})])
"""
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    segmenter = SEGMENTERS[model](MODELS[model], 0.2)
    assert output.strip() == str([segmenter.segment(ids, 7) for ids in MODELS[model].encode(LINES[:5])])


@pytest.mark.parametrize("model", SEGMENTERS)
def test_a_tokenizer_knows_its_algorithm(model: str) -> None:
    assert MODELS[model].algorithm == model
