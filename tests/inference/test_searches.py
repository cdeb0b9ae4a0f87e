"""Draws and diverse groups through a translator, over a model that mostly copies: what a line gets depends on the seed
and the line's number alone."""

from __future__ import annotations

import io
import json

import pytest
from copy_model import copy_translator

from s2s_cli.inference import stream
from s2s_cli.inference.output import OutputOptions
from s2s_cli.inference.stream import translate_stream
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SamplingOptions, SearchOptions

LINES = ["abc", "", "One. Two and three. Four.", "abc", "bb " * 7, "a"] * 9
DRAWN = SearchOptions(n_best=3, sampling=SamplingOptions(temperature=3.0, seed=5))


def texts(lines: list[str], options: SearchOptions = DRAWN, **how: int) -> list[list[str]]:
    found = copy_translator().translate(lines, options, **how)
    return [[candidate.text for candidate in translation.n_best] for translation in found]


def test_neither_batches_nor_windows_nor_workers_change_a_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s_cli.inference.translator.LEAST_SHARE", 16)
    expected = texts(LINES)
    assert len({str(found) for found in expected}) > len(LINES) // 2  # equal lines at other places: other draws
    assert texts(LINES, batch_tokens=9) == expected
    assert texts(LINES[20:], first=20) == expected[20:]
    model = copy_translator()
    with Translator(model.model, model.tokenizers, division=model.division, batch_tokens=16, workers=2) as translator:
        found = translator.translate(LINES, DRAWN)
    assert [[candidate.text for candidate in translation.n_best] for translation in found] == expected


@pytest.mark.parametrize("window", [1, 7, 1000])
def test_a_stream_counts_its_lines(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "FIRST_WINDOW", window)
    sink = io.BytesIO()
    source = io.BytesIO("".join(f"{line}\n" for line in LINES).encode())
    translate_stream(copy_translator(), source, sink, DRAWN, OutputOptions(format="json", n_best=3))
    found = [json.loads(line).get("n_best", []) for line in sink.getvalue().splitlines()]
    assert [[candidate["translation"] for candidate in each] for each in found] == texts(LINES)


def test_a_line_of_several_sentences_is_put_together_draw_by_draw() -> None:
    line = "One two. Three four. Five six."
    whole = texts([line])[0]
    translator = copy_translator()
    (source,) = translator.reader.read([line])
    drawn = translator.search(source.parts, DRAWN, [(0, number) for number in range(len(source.parts))])
    decode = translator.tokenizers.target.decode
    assert whole == [" ".join(decode(part[draw].ids) for part in drawn) for draw in range(3)]
    assert len(set(whole)) == 3


def test_groups_go_through_workers_and_differ_from_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s_cli.inference.translator.LEAST_SHARE", 16)
    options = SearchOptions(beam=4, n_best=4, groups=4, diversity=50.0)
    expected = texts(["abc"] * 40, options)
    assert len({text[:1] for text in expected[0]}) == 4  # which a beam does not do
    assert len({text[:1] for text in texts(["abc"], SearchOptions(beam=4, n_best=4))[0]}) < 4
    model = copy_translator()
    with Translator(model.model, model.tokenizers, batch_tokens=16, workers=2) as translator:
        found = translator.translate(["abc"] * 40, options)
    assert [[candidate.text for candidate in translation.n_best] for translation in found] == expected
