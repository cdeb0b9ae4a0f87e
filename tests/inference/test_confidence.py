"""Confidence and warnings: from which figures, for lines of several parts, and what the output does with them."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
import torch
from copy_model import GREEDY, TOKENIZERS, CopyModel, copy_translator
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.checkpoint.model_directory import Confidence, load_model_files, save_model
from s2s_cli.errors import UsageError
from s2s_cli.inference import confidence as confidence_module
from s2s_cli.inference.confidence import (
    Evidence,
    confidence,
    figures,
    omissions,
    repetitions,
    word_confidences,
)
from s2s_cli.inference.dividing import Division
from s2s_cli.inference.output import OutputOptions, render
from s2s_cli.inference.stream import translate_stream
from s2s_cli.inference.translation import Candidate, Translation
from s2s_cli.inference.translator import Translator
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

BY_PROBABILITY = Confidence(chrf=50.0, bias=0.0, log_prob=1.0, probability=0.0, ratio=0.0)
CALIBRATION = Confidence(chrf=50.0, bias=1.0, log_prob=4.0, probability=-2.0, ratio=3.0)


def calibrated(max_pieces: int = 50) -> Translator:
    division = Division(max_pieces=max_pieces)
    return Translator(CopyModel(), TOKENIZERS, options=GREEDY, division=division, calibration=CALIBRATION)


def rated(text: str, confidence: float | None, source: str = "x") -> Translation:
    candidate = Candidate(text=text, score=-1.0, tokens=[text], alignment=[(0, 0)], confidence=confidence)
    return Translation(source, [candidate], [source])


def test_figures_are_those_of_their_definitions():
    found = figures(Evidence(log_probs=[math.log(0.5), math.log(0.25), 0.0], words=[0, 0, -1], source_pieces=6))
    assert found.log_prob == pytest.approx(math.log(0.5))
    assert found.probability == pytest.approx((0.5 + 0.25 + 1) / 3)
    assert found.ratio == pytest.approx(math.log(2))


@given(st.lists(st.floats(max_value=0.0) | st.just(math.nan), min_size=1, max_size=5), st.integers(0, 9))
def test_confidence_is_a_probability_whatever_the_search_found(log_probs: list[float], pieces: int):
    evidence = Evidence(log_probs, words=[0] * len(log_probs), source_pieces=pieces)
    assert 0.0 <= confidence(CALIBRATION, evidence) <= 1.0


def test_a_more_probable_translation_is_trusted_more():
    sure, unsure = (Evidence([value, value], [0, -1], 2) for value in (-0.1, -2.0))
    assert confidence(BY_PROBABILITY, sure) == pytest.approx(1 / (1 + math.exp(0.1)))
    assert confidence(BY_PROBABILITY, sure) > confidence(BY_PROBABILITY, unsure)


def test_a_word_has_the_geometric_mean_of_its_pieces():
    evidence = Evidence(log_probs=[math.log(0.5), math.log(0.125), math.log(0.9), -3.0], words=[0, 0, 1, -1])
    assert word_confidences(evidence) == pytest.approx([0.25, 0.9])


def test_omissions_are_words_without_attention():
    evidence = Evidence(attention_S=np.array([0.09, 0.09, 0.0, 0.09, 0.2]), source_words=[0, 0, 1, 2, 3])
    assert omissions(evidence, ["▁a", "b", "▁,", "▁c", "▁d"]) == [2]
    assert omissions(Evidence(), ["▁a"]) == []


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("the man the man sleeps", "x", ["the man the man"]),
        ("very very good", "x", []),
        ("very very very good", "x", ["very very very"]),
        ("He is, he is, he is here", "x", ["He is, he is,"]),
        ("wait ...... here !!!", "x", []),
        ("--------a-----a", "x", ["-----a-----a"]),
        ("我们我们走吧", "x", ["我们我们"]),
        ("ha ha ha", "ha ha ha", []),
        ("", "x", []),
    ],
)
def test_repetitions_are_what_stands_again_at_once(text: str, source: str, expected: list[str]):
    assert repetitions(text, source) == expected


def test_a_run_of_signs_is_not_measured_from_each_of_them(monkeypatch: pytest.MonkeyPatch):
    measured = []
    end_of_repetition = confidence_module._end_of_repetition
    monkeypatch.setattr(
        confidence_module, "_end_of_repetition", lambda *at: measured.append(at) or end_of_repetition(*at)
    )
    assert repetitions("." * 1000, "x") == []
    assert len(measured) < 100


def test_a_line_of_several_parts_has_the_evidence_of_all():
    line = "Ab cd. Ef! gh"
    (found,) = calibrated().translate([line])
    parts = [each.n_best[0].evidence for each in calibrated().translate(["Ab cd.", "Ef!", "gh"])]
    evidence = found.n_best[0].evidence
    assert evidence.log_probs == pytest.approx([value for part in parts for value in part.log_probs], abs=1e-5)
    assert evidence.source_pieces == sum(part.source_pieces for part in parts)
    assert len(word_confidences(evidence)) == len(found.text.split())
    assert sorted(set(evidence.source_words)) == list(range(len(line.split())))
    assert evidence.attention_S.tolist() == [1.0] * len(found.source_tokens)
    assert found.confidence == pytest.approx(confidence(CALIBRATION, evidence))


def test_halves_of_a_word_are_one_word():
    (found,) = calibrated(max_pieces=4).translate(["abcdefgh"])
    assert len(word_confidences(found.n_best[0].evidence)) == 1
    assert set(found.n_best[0].evidence.source_words) == {0}


@given(st.lists(st.text("abc. ", max_size=12), max_size=8), st.integers(1, 60))
def test_confidence_does_not_depend_on_batch_mates(lines: list[str], batch_tokens: int):
    together = calibrated().translate(lines, batch_tokens=batch_tokens)
    alone = [calibrated().translate([line])[0] for line in lines]
    assert [each.confidence for each in together] == [each.confidence for each in alone]


def test_a_model_without_calibration_has_warnings_but_no_confidence():
    (found,) = copy_translator().translate(["ab ab ab."])
    record = json.loads(found.to_json(0))
    assert record["confidence"] is None
    assert len(record["word_confidence"]) == 3
    assert (record["omissions"], record["repetitions"]) == ([], [])


@pytest.mark.parametrize(
    ("confidence", "text"), [(0.7, "a ||| 0-0\n"), (0.5, "a ||| 0-0\n"), (0.4, " ||| \n"), (None, "a ||| 0-0\n")]
)
def test_what_is_not_trusted_is_left_empty(confidence: float | None, text: str):
    assert render(0, rated("a", confidence), OutputOptions(alignments=True, min_confidence=0.5)) == text


def test_json_says_what_is_not_trusted():
    records = [
        json.loads(render(0, rated("a", value), OutputOptions("json", min_confidence=0.5))) for value in (0.51, 0.12345)
    ]
    assert [each["confident"] for each in records] == [True, False]
    assert [each["confidence"] for each in records] == [0.51, 0.1235]
    assert [each["translation"] for each in records] == ["a", "a"]
    assert "confident" not in json.loads(render(0, rated("a", 0.3), OutputOptions("json")))


def test_each_candidate_of_a_list_is_judged_by_itself():
    candidates = [
        Candidate(text="a", score=-1.0, tokens=["a"], confidence=0.2),
        Candidate(text="b", score=-2.0, tokens=["b"], confidence=0.9),
    ]
    translation = Translation("x", candidates, ["x"])
    assert (
        render(3, translation, OutputOptions(n_best=2, min_confidence=0.5))
        == "3 |||  ||| -1.0000\n3 ||| b ||| -2.0000\n"
    )


@pytest.mark.parametrize("least", [math.nan, -0.1, 1.1])
def test_a_least_confidence_that_nothing_or_everything_reaches_is_refused(least: float):
    with pytest.raises(UsageError, match="from 0 to 1"):
        OutputOptions(min_confidence=least)


def test_every_line_of_a_stream_has_its_line():
    sink = io.BytesIO()
    translate_stream(calibrated(), io.BytesIO(b"ab\n\ncd"), sink, GREEDY, OutputOptions(min_confidence=1.0))
    assert sink.getvalue() == b"\n\n\n"


@pytest.mark.parametrize("engine", ["int8", "fast"])
def test_engines_are_as_sure_whatever_the_batch(tmp_path, tools, engine: str):
    letters = TokenizerPair(CharacterTokenizer("▁abcdefgh"), CharacterTokenizer("▁abcdefgh"))
    directory = tools.export(tmp_path / "model", ("fr", "en"), letters)
    lines = ["abc", "h. a", "a b c d e f", "ggg", "abcdefgh abcdefgh", "", "b"]
    with Translator.load(directory, engine=engine, device="cpu") as translator:
        assert translator.writer.calibration is None  # as of an older model
        together = translator.translate(lines)
        alone = [translator.translate([line])[0] for line in lines]
    for one, other in zip(together, alone, strict=True):
        for mine, theirs in zip(one.n_best, other.n_best, strict=True):
            assert mine.evidence.log_probs == theirs.evidence.log_probs
            assert mine.evidence.attention_S.tolist() == theirs.evidence.attention_S.tolist()
    assert sum(len(translation.n_best) for translation in together) == 6


def test_a_model_keeps_its_calibration(tmp_path, tools):
    letters = TokenizerPair(CharacterTokenizer("▁abcdefgh"), CharacterTokenizer("▁abcdefgh"))
    directory = tools.export(tmp_path / "model", ("fr", "en"), letters)
    files = load_model_files(directory)
    config = files.config.values() | {"confidence": CALIBRATION.values()}
    weights = {name: torch.from_numpy(array.copy()) for name, array in files.weights.items()}
    save_model(tmp_path / "calibrated", weights, config, files.tokenizers, "")
    with Translator.load(tmp_path / "calibrated", device="cpu", engine="fast") as translator:
        assert translator.writer.calibration == CALIBRATION
        (found,) = translator.translate(["abc"])
        assert found.confidence == confidence(CALIBRATION, found.n_best[0].evidence)
    with Translator.load([directory, tmp_path / "calibrated"], device="cpu", engine="fast") as ensemble:
        assert ensemble.writer.calibration is None  # that of the first model
