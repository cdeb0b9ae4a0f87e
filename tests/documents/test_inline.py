"""Codes come back exactly once, nested as they were, where the alignment says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fake_translators import FakeTranslator, document
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.documents.translation import translate_document
from s2s_cli.inference.inline import Flat, flatten
from s2s_cli.inference.nesting import ranges_of
from s2s_cli.inference.translation import Alignment, Candidate, Translation
from s2s_cli.text.codes import Code, Kind, Part
from s2s_cli.text.protected import PERCENT, with_placeholders

WORDS = st.lists(st.sampled_from(["red", "a", "Über", "x.", ",", "(", "7", "中文"]), max_size=3).map(" ".join)
TEXTS = st.tuples(st.sampled_from(["", " "]), WORDS, st.sampled_from(["", " ", "\n"])).map("".join)
SINGLE = st.sampled_from([Code("%s"), Code("<x/>"), Code("<!---->", wide=False), Code("%d", order="argument")])


def pair(content: list[Part], name: str) -> list[Part]:
    return [Code(f"<{name}>", Kind.OPEN, name), *content, Code(f"</{name}>", Kind.CLOSE, name)]


CONTENT = st.recursive(
    st.lists(TEXTS | SINGLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda lists: [part for each in lists for part in each])
        | st.builds(pair, inner, st.sampled_from("bi"))
    ),
    max_leaves=8,
).map(lambda parts: [part for part in parts if part != ""])


def written(parts: list[Part] | tuple[Part, ...]) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in parts)


def restored(source: str, target: str, links: str, language: str = "") -> str:
    flat = flatten(with_placeholders(source))
    alignment = [tuple(map(int, link.split("-"))) for link in links.split()]
    return written(rebuilt(flat, target, alignment))  # type: ignore[arg-type]


def rebuilt(flat: Flat, target: str, alignment: Alignment, marks: Sequence[tuple[int, int]] = ()) -> list[Part]:
    """As `Flat.restored`, also of a translation that is the same as the text."""
    return [*flat.head, *flat.body(target, alignment, marks), *flat.tail]


def test_a_pair_around_words_is_never_empty_where_the_alignment_says_nothing():
    assert restored("Eine <b>Frau</b> lacht.", "A WOMAN LAUGHS.", "") == "A <b>WOMAN</b> LAUGHS."
    assert restored("Eine <b>Frau</b>, die lacht", "Sie", "") == "<b>Sie</b>"


def is_nested(parts: list[Part] | tuple[Part, ...]) -> bool:
    stack: list[str] = []
    for part in parts:
        if isinstance(part, Code) and part.kind is Kind.OPEN:
            stack.append(part.name)
        elif isinstance(part, Code) and part.kind is Kind.CLOSE and (not stack or stack.pop() != part.name):
            return False
    return not stack


def counts(parts: list[Part] | tuple[Part, ...]) -> dict[str, int]:
    """How often each code is written; codes may have become one code."""
    return {text: written(parts).count(text) for text in ("%s", "%d", "<x/>", "<!---->", "<b>", "</b>", "<i>", "</i>")}


@settings(max_examples=60)
@given(CONTENT, st.data())
def test_any_alignment_keeps_each_code_once_and_well_nested(parts: list[Part], data: st.DataObject):
    flat = flatten(parts)
    target = data.draw(WORDS)
    source_words, target_words = max(1, len(flat.text.split())), max(1, len(target.split()))
    links = st.tuples(st.integers(0, source_words), st.integers(0, target_words))
    found = rebuilt(flat, target, data.draw(st.lists(links, max_size=6)))
    assert is_nested(found)
    assert counts(found) == counts(parts)
    assert "".join(part for part in found if isinstance(part, str)).split() or not target.split()


@given(CONTENT)
def test_the_same_text_gets_the_same_codes(parts: list[Part]):
    flat = flatten(parts)
    assert flat.restored(flat.text, []) == tuple(parts)
    assert flat.text == " ".join(flat.text.split())


@settings(max_examples=300)
@given(CONTENT.filter(lambda parts: "中" not in written(parts)))
def test_no_code_changes_its_place_where_no_word_does(parts: list[Part]):
    flat = flatten(parts)
    links = [(word, word) for word in range(len(flat.text.split()))]
    assert "".join(written(rebuilt(flat, flat.text, links)).split()) == "".join(written(parts).split())


@pytest.mark.parametrize(
    ("source", "target", "links", "wanted"),
    [
        ("Hello %s, you.", "Hallo, du.", "0-0 1-1", "Hallo %s, du."),
        ("Click <b>here</b> now.", "Jetzt hier klicken.", "2-0 1-1 0-2", "Jetzt <b>hier</b> klicken."),
        ("Click <b>here</b>.", "Hier klicken.", "1-0 0-1", "<b>Hier</b> klicken."),
        (
            "see (https://x.org/a) for <i>info</i>",
            "Info siehe ()",
            "3-0 0-1 1-2",
            "<i>Info</i> siehe (https://x.org/a)",
        ),
        ("one<x/>two", "eins zwei", "0-0 1-1", "eins<x/>zwei"),
        ("Copy %s to %d", "Zu kopieren", "1-0 0-1", "Zu kopieren %s %d"),
        ("Copy %d in %s now", "Jetzt kopieren in", "2-0 0-1 1-2", "Jetzt kopieren %d in %s"),
        ("%s: not found", "nicht gefunden", "0-0 1-1", "%s: nicht gefunden"),
        ("Take {a}, {b} or {c}", "Nimm oder", "0-0 1-1", "Nimm {a}, {b} oder {c}"),
        ("<i><b>A</b> house</i>", "Haus A", "1-0 0-1", "<i>Haus <b>A</b></i>"),
        ("Say <b>%s</b>, please", "Bitte sagen", "1-0 0-1", "Bitte sagen <b>%s</b>"),
        ("<b>Note</b>: see it", "注意：请看", "0-0", "<b>注意</b>：请看"),
        ("The <a>cat</a><i>sat</i> down", "Katze saß nieder", "1-0 2-1 3-2", "<a>Katze</a><i>saß</i> nieder"),
        ("the <b>%s</b> %d files", "die Dateien", "0-0 1-1", "die <b>%s</b> %d Dateien"),
        ("the <b>{a}</b> {b} files", "die Dateien", "0-0 1-1", "die <b>{a}</b> {b} Dateien"),
        ("go %s<b>{a}</b> now", "geh jetzt", "0-0 1-1", "geh %s<b>{a}</b> jetzt"),
        ("go <br/><b>%s</b>now", "geh jetzt", "0-0 1-1", "geh <br/><b>%s</b>jetzt"),
        ("with <a><b>{x}</b></a>, and so", "mit, und so", "0-0 1-1 2-2", "mit <a><b>{x}</b></a>, und so"),
        ("Press <b>it", "Drück es", "", "Drück <b>es"),
        ("请打开{name}文件。", "Please open the file.", "", "Please open {name} the file."),
        ("请打开<b>{name}</b>文件。", "Please open the file.", "", "Please open <b>{name}</b> the file."),
        ("你好，{name}！", "Hello, you!", "", "Hello, {name} you!"),
        ("{name}打开了<b>文件</b>{n}", "opened a file", "", "{name} opened a <b>file</b> {n}"),
        ("请打开{name}文件。", "文件を開く。", "", "文件を{name}開く。"),
        ("Open %s now", "请打开", "", "请打 %s 开"),
    ],
)
def test_codes_go_where_their_words_went(source: str, target: str, links: str, wanted: str):
    assert restored(source, target, links) == wanted


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("Hello %s, you", "Hello, you"),
        ("From {a} to ${b} by %(c)s", "From to by"),
        ("Visit https://example.com/x?y=1. Or me@example.org!", "Visit. Or!"),
        ("100% of 5%", "100% of 5%"),
        ("a < b and c > d", "a < b and c > d"),
        ("{% if x %}", "{% if x %}"),
        ("Tom &amp; I", "Tom I"),
    ],
)
def test_the_model_reads_text_without_codes(source: str, read: str):
    parts = with_placeholders(source)
    if source.startswith("{%"):  # it breaks the text
        assert [part.kind for part in parts if isinstance(part, Code)] == [Kind.BREAK]
    else:
        assert flatten(parts).text == read


def test_doubled_signs_are_text_where_a_program_formats():
    assert with_placeholders("100%% of % d", pattern=PERCENT) == ["100", "%", " of ", Code("% d", order="argument")]


def test_a_text_nested_too_deeply_has_no_translation():
    parts: list[Part] = ["x"]
    for _ in range(70):
        parts = [*pair(parts, "b"), " y"]
    flat: Flat = flatten(parts)
    assert flat.restored("z", []) is None


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["AB-1", "x", "y."]), min_size=1, max_size=6), st.data())
def test_tags_stay_outside_of_what_the_translator_protects(words: list[str], data: st.DataObject) -> None:
    place = st.tuples(st.integers(0, 4), st.integers(0, len(words) - 1))
    links = data.draw(st.lists(place, max_size=4))

    class Protecting(FakeTranslator):
        def translate(self, lines, options=None, *, batch_tokens=None, first=0):
            text = " ".join(words)
            return [Translation(line, [Candidate(text, 0.0, [], links)], protected=["AB-1"]) for line in lines]

    page = document("html", b"<p>AB-1 <b>one</b> two <i>three <b>four</b></i></p>")
    found = translate_document(Protecting(), page, None).decode()
    assert found.count("AB-1") == words.count("AB-1"), found
    assert is_nested(with_placeholders(found)), found


@given(st.lists(st.text("ab1 ", min_size=1, max_size=4)), st.text("ab1 ", max_size=40))
def test_phrases_are_found_wherever_they_stand(phrases: list[str], text: str) -> None:
    found = ranges_of(phrases, text)
    places = [range(at, at + len(each)) for each in phrases for at in range(len(text)) if text.startswith(each, at)]
    assert {at for start, end in found for at in range(start, end)} == {at for place in places for at in place}
    for place in places:  # none is in two ranges
        assert any(start <= place.start and place.stop <= end for start, end in found)
    for start, _ in found:
        assert not any(place.start < start < place.stop for place in places)


def test_the_text_is_not_read_once_for_each_phrase() -> None:
    """With a pass for each of them this would take as long as all other tests together."""
    numbers = [str(number) for number in range(50_000)]
    found = ranges_of(numbers * 2, "of " + " of ".join(numbers))
    assert len(found) == len(numbers)


def test_no_tag_goes_around_white_space_at_its_end() -> None:
    """A mark that a model writes after a space: in Markdown, `**so **` is no emphasis."""
    flat = flatten(with_placeholders("a <b>b</b> c"))
    assert written(rebuilt(flat, "x so y", [], [(0, 2), (1, 5)])) == "x <b>so</b> y"


@pytest.mark.parametrize("source", ["the <b>%s</b> %d files", "the {a}<b>{b}</b> files", "the <b>{a}</b><x/>files"])
@pytest.mark.parametrize("at", [3, 4])
def test_codes_whose_marks_a_model_writes_in_one_place_keep_their_order(source: str, at: int) -> None:
    flat = flatten(with_placeholders(source), marked=True)
    marks = [(number, at) for number in range(len(flat.places))]
    assert written(rebuilt(flat, "the files", [], marks)) == source
