"""The choice of minimum Bayes risk is that of its formula, with the scores that sacreBLEU gives to sentences."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from copy_model import TOKENIZERS, CopyModel, copy_translator
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from s2s_cli.errors import UsageError
from s2s_cli.inference.minimum_risk import least_risk
from s2s_cli.inference.translator import Translator
from s2s_cli.search import options as search
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import RiskOptions, SamplingOptions, SearchOptions
from s2s_cli.text.similarity import UTILITIES, build_utility

METRICS = {"chrf": lambda language: CHRF(), "bleu": lambda language: BLEU(tokenize=language, effective_order=True)}
SEARCHED = SearchOptions(beam=6, risk=RiskOptions("chrf"))
DRAWN = SearchOptions(sampling=SamplingOptions(temperature=3.0, seed=5), risk=RiskOptions("chrf", draws=12))
each_way = pytest.mark.parametrize("options", [SEARCHED, DRAWN], ids=["searched", "drawn"])
LINES = ["abc", "", "One. Two and three. Four.", "abc", "bb " * 7, "a"] * 6


def plain_score(name: str, tokenizer: str, text: str, reference: str) -> float:
    return METRICS[name](tokenizer).sentence_score(text, [reference]).score


def test_the_names_are_those_of_the_options() -> None:
    assert set(UTILITIES) == set(search.UTILITIES)
    with pytest.raises(UsageError, match="`mbr` must be one of chrf, bleu, not meteor"):
        RiskOptions("meteor")
    with pytest.raises(UsageError, match="`candidates` must be from 2 to 1,000"):
        RiskOptions(draws=1)
    with pytest.raises(UsageError, match=r"`n_best` must be from 1 to the candidates \(12\), not 13"):
        replace(DRAWN, n_best=13)


def hypothesis(log_prob: float, *, finished: bool = True) -> Hypothesis:
    return Hypothesis([5], log_prob / 2, log_prob, finished, None)


def test_probable_candidates_weigh_more_and_equal_texts_together() -> None:
    probabilities = {"the cat": 0.3, "the dog sleeps": 0.25, "the dog": 0.2}
    pairs = [*probabilities.items(), ("the dog sleeps", 0.1)]
    found = least_risk(
        [hypothesis(math.log(p) - 900) for _, p in pairs],  # of long sentences: no float holds them
        [text for text, _ in pairs],
        build_utility("chrf", "en"),
        9,
        drawn=False,
    )
    weights = {text: sum(p for other, p in pairs if other == text) for text in probabilities}
    expected = {
        text: sum(w * plain_score("chrf", "", text, other) for other, w in weights.items()) / sum(weights.values())
        for text in weights
    }
    assert [each.score for each in found] == pytest.approx(sorted(expected.values(), reverse=True))
    assert len(found) == 3


def test_of_a_search_what_was_cut_is_no_candidate_unless_all_was() -> None:
    given_ones = [hypothesis(-3.0), hypothesis(-4.0), hypothesis(-1.0, finished=False)]
    chrf, written = build_utility("chrf", "en"), ["abc", "abd", "ab"]
    assert len(least_risk(given_ones, written, chrf, 9, drawn=False)) == 2
    assert len(least_risk(given_ones, written, chrf, 9, drawn=True)) == 3
    assert len(least_risk(given_ones[2:], written[2:], chrf, 9, drawn=False)) == 1


@each_way
@pytest.mark.parametrize("name", UTILITIES)
def test_a_translator_writes_what_the_formula_says(options: SearchOptions, name: str) -> None:
    """Each sentence of each line, over the same candidates, counted one by one."""
    options, translator = replace(options, risk=RiskOptions(name, draws=12)), copy_translator()
    decode = translator.tokenizers.target.decode
    for number, translation in enumerate(translator.translate(LINES[:3], options)):
        (source,) = translator.reader.read([LINES[number]])
        written = []
        for place, part in enumerate(part for part in source.parts if part.ids):
            [found] = translator.search([part], options.of_candidates(), [(number, place)])
            [[best]] = translator.search([part], options, [(number, place)])
            candidates, weights = [decode(each.ids) for each in found], Counter[str]()
            assert len(found) == (12 if options.sampling else 6)
            for text, each in zip(candidates, found, strict=True):
                weights[text] += 1 if options.sampling else math.exp(each.log_prob)
            expected = {
                text: sum(w * plain_score(name, "13a", text, other) for other, w in weights.items()) / weights.total()
                for text in weights
            }
            assert best.score == pytest.approx(max(expected.values()))
            assert expected[decode(best.ids)] == pytest.approx(best.score)
            written.append(decode(best.ids))
        assert translation.text == " ".join(written)


@each_way
def test_neither_batches_nor_order_nor_workers_change_the_choice(
    options: SearchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(**how: int) -> list[str]:
        return [each.text for each in copy_translator().translate(LINES, options, **how)]

    monkeypatch.setattr("s2s_cli.inference.translator.LEAST_SHARE", 16)
    expected = chosen()
    assert chosen(batch_tokens=9) == expected
    with Translator(CopyModel(), TOKENIZERS, batch_tokens=16, workers=2) as translator:
        assert [each.text for each in translator.translate(LINES, options)] == expected


@each_way
def test_an_n_best_list_is_ranked_by_expected_utility(options: SearchOptions) -> None:
    for translation in copy_translator().translate(LINES[:3], replace(options, n_best=3)):
        scores = [each.score for each in translation.n_best]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == (3 if translation.source else 0)
        assert all(0 <= score <= 100 * translation.source.count(".") + 100 for score in scores)


def test_all_candidates_count_as_hypotheses_of_a_batch() -> None:
    assert (SEARCHED.width, DRAWN.width, replace(DRAWN, n_best=4, risk=None).width) == (6, 12, 4)
