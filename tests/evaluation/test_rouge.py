"""ROUGE against examples that were published with it, and what the program adds to its package."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from s2s_cli.errors import UsageError
from s2s_cli.evaluation import rouge
from s2s_cli.evaluation.metrics import Score, build_metric, score
from s2s_cli.evaluation.significance import paired_bootstrap


def scores(hypotheses: list[str], *references: list[str], language: str = "en") -> list[Score]:
    return score(hypotheses, references, ["rouge-1", "rouge-2", "rouge-L"], language)


def values(hypothesis: str, *references: str, language: str = "en") -> list[float]:
    return [found.value for found in scores([hypothesis], *([line] for line in references), language=language)]


def test_the_example_of_the_paper() -> None:
    """Lin 2004, section 3: S1 to S3. With β = 1, F1 is recall, for all have four words."""
    reference = "police killed the gunman"
    one_two_l = values("police kill the gunman", reference), values("the gunman kill police", reference)
    assert one_two_l[0] == pytest.approx([100.0, 100.0, 100.0])  # stems: kill is killed
    assert one_two_l[1] == pytest.approx([100.0, 100 / 3, 50.0])
    unstemmed = values("police kill the gunman", reference, language="fr")
    assert unstemmed == pytest.approx([75.0, 100 / 3, 75.0])
    assert values("the gunman kill police", reference, language="fr")[2] == pytest.approx(50.0)


def test_the_example_of_the_package() -> None:
    """The README of rouge-score: 6 words are common to 8 and 9, of them 5 in the same order."""
    found = values("The quick brown dog jumps on the log.", "The quick brown fox jumps over the lazy dog")
    assert found[0] == pytest.approx(100 * 2 * (6 / 8) * (6 / 9) / (6 / 8 + 6 / 9))
    assert found[2] == pytest.approx(100 * 2 * (5 / 8) * (5 / 9) / (5 / 8 + 5 / 9))


def test_a_corpus_has_the_mean_of_its_lines_and_a_line_its_best_reference() -> None:
    assert [found.value for found in scores(["a b", "c"], ["a b", "d"])] == pytest.approx([50.0, 50.0, 50.0])
    assert values("a b", "c d", "a b") == pytest.approx([100.0, 100.0, 100.0])
    assert values("", "a b") == [0.0, 0.0, 0.0]


def test_other_scripts_have_words_too() -> None:
    assert values("Das Café schließt", "das café schließt", language="de") == pytest.approx([100.0, 100.0, 100.0])
    assert values("café", "cafe", language="fr")[0] == 0.0
    assert values("我爱你", "我爱他", language="zh-TW") == pytest.approx([200 / 3, 50.0, 200 / 3])


@pytest.mark.parametrize("word", ["サーバー", "ｻｰﾊﾞｰ", "ﾀｲﾌﾟ", "か\u3099", "は\u309a", "ラーメン"])
def test_the_marks_of_japanese_are_characters_like_others(word: str) -> None:
    assert rouge.Words().tokenize(f"{word}A1{word}語") == [*word, "a1", *word, "語"]
    assert values(f"{word}A", f"{word} A", language="ja") == pytest.approx([100.0, 100.0, 100.0])


def test_names_and_signatures() -> None:
    english, french = (scores(["a"], ["a"], language=language) for language in ("en_GB", "fr"))
    assert [found.name for found in english] == ["ROUGE-1", "ROUGE-2", "ROUGE-L"]
    ending = f"version:rouge-score-{version('rouge-score')}"
    assert english[0].signature == f"nrefs:1|case:lc|stem:porter|tok:ascii|{ending}"
    assert french[0].signature == f"nrefs:1|case:lc|stem:none|tok:words|{ending}"


def test_they_resample_as_others_do() -> None:
    (found,) = paired_bootstrap(
        ["b"] * 40, ["a"] * 30 + ["b"] * 10, [["a"] * 40], metrics=["rouge-1"], language="en", resamples=200
    )
    assert (found.baseline, found.system) == (0.0, 75.0)
    assert found.p_value < 0.05 < found.margin


def test_without_the_package_there_is_a_word_on_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rouge, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="rouge-score") as error:
        build_metric("rouge-1", "en")
    assert "pip install 's2s-cli[rouge]'" in str(error.value.hint)
