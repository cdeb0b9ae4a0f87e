"""Heat maps of attention: what is in the file is what the model did, and text is only ever text."""

from __future__ import annotations

import io
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from copy_model import GREEDY, TOKENIZERS, CopyModel, copy_translator
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.errors import MachineError, UsageError
from s2s_cli.inference.attention_view.heat_map import SENTENCE_END, shown, visible
from s2s_cli.inference.attention_view.view import AttentionView
from s2s_cli.inference.output import OutputOptions, require_attention
from s2s_cli.inference.stream import FIRST_WINDOW, translate_stream
from s2s_cli.inference.translation import Candidate, Translation
from s2s_cli.inference.translator import Translator
from s2s_cli.search.ensemble import Ensemble
from s2s_cli.search.step_model import Prediction
from s2s_cli.text.casing import TITLE

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)


class Reader(HTMLParser):
    """What a browser would make of the page: its tags in order, its texts, its cells. Fails where tags do not match."""

    VOID = frozenset({"meta"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: dict[str, list[str]] = {}
        self.titles: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open_tags.append(tag)
            self.texts.setdefault(tag, []).append("")
        self.titles += [value or "" for name, value in attrs if name == "title"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open_tags:
            self.texts[self.open_tags[-1]][-1] += data


def translation(source: str, text: str, source_tokens: list[str], tokens: list[str]) -> Translation:
    attention = np.random.default_rng(1).dirichlet(np.ones(len(source_tokens) + 1), len(tokens)).astype(np.float32)
    candidate = Candidate(text, -1.0, tokens, attention=attention)
    return Translation(source, [candidate], source_tokens)


def draw(path: Path, *translations: Translation) -> Path:
    with AttentionView(path) as view:
        view.show(translations)
    return path


def page(tmp_path: Path, *translations: Translation) -> Reader:
    reader = Reader(draw(tmp_path / "page.html", *translations).read_bytes().decode())
    assert reader.open_tags == []
    return reader


def test_each_weight_stands_in_its_cell(tmp_path: Path) -> None:
    drawn = translation("un deux", "ein zwei drei", ["▁un", "▁deux"], ["▁ein", "▁zwei", "▁drei"])
    reader = page(tmp_path, drawn)
    assert drawn.attention is not None
    expected = [
        f"{target} ← {source}: {drawn.attention[t, s]:.2f}"
        for t, target in enumerate(drawn.tokens)
        for s, source in enumerate([*drawn.source_tokens, SENTENCE_END])
    ]
    assert reader.titles == expected
    assert reader.texts["th"] == [*drawn.source_tokens, SENTENCE_END, *drawn.tokens]
    assert reader.texts["bdi"] == ["un deux", "ein zwei drei"]


def test_a_page_needs_nothing_else(tmp_path: Path) -> None:
    draw(tmp_path / "page.html", translation("a", "b", ["a"], ["b"]))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not {"script", "link", "img", "iframe"} & Reader(text).tags
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text


@given(ANY_TEXT, ANY_TEXT, st.lists(ANY_TEXT, min_size=1, max_size=3), st.lists(ANY_TEXT, min_size=1, max_size=3))
@settings(max_examples=50)
def test_text_is_shown_as_text(
    tmp_path_factory: pytest.TempPathFactory, source: str, text: str, columns: list[str], rows: list[str]
) -> None:
    reader = page(tmp_path_factory.mktemp("page"), translation(source, text, columns, rows))
    assert reader.texts["bdi"] == [visible(source), visible(text)]
    assert reader.texts["th"] == [shown(piece) for piece in [*columns, SENTENCE_END, *rows]]


def test_a_mark_of_case_is_shown_by_a_sign_of_its_own(tmp_path: Path) -> None:
    reader = page(tmp_path, translation("知识", "Knowledge", ["▁知识"], ["▁knowledge", TITLE]))
    assert reader.texts["th"] == ["▁知识", SENTENCE_END, "▁knowledge", "⇧"]


def test_markup_and_control_characters_do_nothing(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>\"' onmouseover='alert(2)' & \0\x1b[31m\x7f\x85"
    plain = page(tmp_path, translation("a", "b", ["a"], ["b"]))
    attacked = page(tmp_path, translation(attack, attack, [attack], [attack]))
    assert (attacked.tags, attacked.attributes) == (plain.tags, plain.attributes)
    expected = "<script>alert(1)</script>\"' onmouseover='alert(2)' & ␀␛[31m␡�"
    assert attacked.texts["bdi"] == [expected, expected]
    assert attacked.titles[0].startswith(f"{expected} ← {expected}: ")
    data = (tmp_path / "page.html").read_bytes()
    assert not set(data) & (set(range(32)) - {10}) and 127 not in data


def test_lines_without_pieces_are_counted_but_not_drawn(tmp_path: Path) -> None:
    some = translation("a", "b", ["a"], ["b"])
    assert page(tmp_path, Translation(""), some, Translation(" "), some).texts["h2"] == ["Line 2", "Line 4"]
    assert "h2" not in page(tmp_path).texts


class Interrupted(io.RawIOBase):
    """Ctrl-C after one window of lines."""

    def __init__(self) -> None:
        self._chunks = [b"one\n" * FIRST_WINDOW]

    def read(self, size: int = -1) -> bytes:
        if not self._chunks:
            raise KeyboardInterrupt
        return self._chunks.pop(0)


def test_an_interrupted_page_is_whole(tmp_path: Path) -> None:
    path, sink = tmp_path / "page.html", io.BytesIO()
    with pytest.raises(KeyboardInterrupt), AttentionView(path) as view:
        translate_stream(copy_translator(), Interrupted(), sink, GREEDY, OutputOptions(), view)  # type: ignore[arg-type]
    reader = Reader(path.read_text(encoding="utf-8"))
    assert reader.open_tags == []
    assert reader.texts["bdi"] == ["one", "ONE"] * FIRST_WINDOW
    assert sink.getvalue() == b"ONE\n" * FIRST_WINDOW


def test_the_stream_stays_as_it_is_and_memory_does_not_grow(tmp_path: Path) -> None:
    lines = b"".join(b"line %d\n\n" % number for number in range(200))
    outputs = []
    for view in (None, AttentionView(tmp_path / "page.html")):
        sink = io.BytesIO()
        if view is None:
            translate_stream(copy_translator(), io.BytesIO(lines), sink, GREEDY, OutputOptions())
        else:
            with view:
                translate_stream(copy_translator(), io.BytesIO(lines), sink, GREEDY, OutputOptions(), view)
                written = (tmp_path / "page.html").stat().st_size
        outputs.append(sink.getvalue())
    assert outputs[0] == outputs[1]
    assert (tmp_path / "page.html").stat().st_size - written < 100  # all but the end was written on the way
    reader = Reader((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert reader.texts["h2"] == [f"Line {2 * number + 1}" for number in range(200)]


def test_attention_is_kept_only_where_it_is_asked_for() -> None:
    translator = copy_translator()
    assert translator.translate(["abc"])[0].attention is None
    kept, longer, blank = translator.translate(["abc", "a longer line", ""], keep_attention=True)
    assert kept.attention is not None and longer.attention is not None and blank.attention is None
    for each in (kept, longer):
        assert each.attention is not None
        assert each.attention.shape == (len(each.tokens), len(each.source_tokens) + 1)
    np.testing.assert_array_equal(kept.attention, np.eye(3, 4))
    assert kept == translator.translate(["abc"])[0]


class WithoutAttention(CopyModel):
    def step(self, previous_BK, state):  # type: ignore[no-untyped-def]
        step, state = super().step(previous_BK, state)
        return Prediction(step.log_probs_BKV, None), state


def test_a_model_without_attention_is_told(tmp_path: Path) -> None:
    translator = Translator(WithoutAttention(), TOKENIZERS, options=GREEDY)
    with pytest.raises(UsageError, match="no attention"), AttentionView(tmp_path / "page.html") as view:
        view.show(translator.translate(["abc"], keep_attention=True))


def test_a_step_tells_whether_there_is_attention() -> None:
    without = WithoutAttention()
    for model in (CopyModel(), Ensemble([without, CopyModel()])):
        require_attention(Translator(model, TOKENIZERS), "--attention")
    for model in (without, Ensemble([without, without])):
        with pytest.raises(UsageError, match=r"^--alignments: this model has no attention \(leave the option out"):
            require_attention(Translator(model, TOKENIZERS), "--alignments")


@pytest.mark.parametrize("name", ["page.pdf", "page"])
def test_an_unknown_ending_is_told_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=".html"):
        AttentionView(tmp_path / name)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "page.html"
    with pytest.raises(MachineError) as raised, AttentionView(path):
        pass
    assert raised.value.where == str(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.symlink_to("/dev/full")
    with pytest.raises(MachineError, match="No space left"), AttentionView(path):
        pass


def test_pictures_without_matplotlib_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s_cli.inference.attention_view.png_files.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="matplotlib") as raised:
        AttentionView(tmp_path / "map.png")
    assert "pip install" in str(raised.value)


def test_one_picture_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    some = translation("a b", "c d e", ["▁a", "$\\frac{"], ["▁c", "<b>\n", "\x00▁e"])
    odd = translation("x", "\U0001fae8", ["\U0010fffd"], ["\U0010fffd"])
    draw(tmp_path / "map.png", some, Translation(""), odd, odd)
    assert {path.name for path in tmp_path.iterdir()} == {"map.png", "map-3.png", "map-4.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    assert capsys.readouterr().err.count("no installed font") == 1


def test_pictures_leave_the_state_of_matplotlib_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(tmp_path / "map.png", translation("a", "b", ["a"], ["b"]))
    assert "matplotlib.pyplot" not in sys.modules  # no global figures, no window system
