"""Where a line can be cut: at the ends of sentences, else at a clause, a space, a character.

The concatenated parts of a line are the line. In case of doubt, two sentences are not separated. Every rule takes
linear time on any text. No library that was tried meets all needs: syntok and sentence-splitter do not split Chinese
and Japanese, ICU knows no abbreviations and is large, pysbd is slow and no longer maintained, and sentencex fails on
some random text and takes quadratic time on a run of quotation marks.
"""

from __future__ import annotations

import re

from s2s_cli.text.languages import base_of
from s2s_cli.text.scripts import script_of

# Words whose full stop ends no sentence, in lower case; words with stops inside ("z.B.") need no list.
_ABBREVIATIONS = {
    "": "dr prof etc vs vol cf st",  # in every language
    "de": "hr fr frl fa nr str bzw ca usw vgl evtl ggf inkl exkl max min bspw abs art bd hrsg jh jhd"
    " mio mrd tel zzgl sog allg ing geb gest jan feb mär apr jun jul aug sep sept okt nov dez",
    "en": "mr mrs ms sr jr inc ltd co corp fig gen col sgt capt lt rev hon gov sen rep approx dept ave blvd mt al jan"
    " feb mar apr jun jul aug sep sept oct nov dec",
    "es": "sr sra srta sres dra d dña ud uds vd vds ej pág págs núm art av avda cap fig gral cía ee uu ene feb mar abr"
    " jun jul ago sep sept oct nov dic",
    "fr": "m mm mme mlle me ste env av apr chap fig éd janv févr avr juil sept oct nov déc",
    "it": "sig sigg dott ing avv arch geom rag on fig cap pag pagg es ecc art artt sec gen feb apr giu lug sett ott nov"
    " dic",
    "nl": "dhr mevr mw ir ing drs mr bijv blz jl nl nr ca incl excl jan feb mrt apr jun jul aug sep okt nov dec",
    "pl": "prof mgr inż ul al pl św nr np tzw tj str godz",
    "pt": "sr sra srs sras srta dra profa av exmo exma pág págs núm art fig cap ltda cia jan fev abr jun jul ago nov",
    "ru": "гг ул пр пл пер кв ср тт др проф акад доц напр",
}
_BEFORE_NUMBERS = {
    "": "nr núm pp pag pág art fig cap vol",  # in every language: abbreviations before a number only
    "de": "abb abschn bd kap tab",
    "en": "ch no nos sec",
    "nl": "afb",
    "pl": "rys tab",
    "ru": "гл рис см стр табл",
}
_KNOWN, _KNOWN_BEFORE_NUMBERS = (
    {language: frozenset(f"{table['']} {words}".split()) for language, words in table.items()}
    for table in (_ABBREVIATIONS, _BEFORE_NUMBERS)
)
_ORDINALS = set("cs da de et fi hr hu is lb lv nb nn no pl sk sl sr tr".split())  # written "1." before a noun

_CLOSING = "\"'”’»«“)\\]}）］】〕》〉」』"
_WIDE_CLOSING = "\"'”’)）］】〕》〉」』"  # where “ and « open
_OPENING = "\"'“‘„«»‹([{¿¡—（［【〔《〈「『 \u00a0\u202f"
_WIDE = "\u3041-\u30ff\u3400-\u9fff「『（《“"  # may follow a mark without a space: kana, Chinese characters, quotes

# The marks of an end, the closing quotes and brackets after them, and the white space up to the next sentence. Each run
# of marks is matched once, at its beginning.
_END = re.compile(
    rf"(?:(?<![.!?…؟۔।։።])[.!?…؟۔।։።]++[{_CLOSING}]*+(?:\s?»)?(?=\s)"
    rf"|(?<![。！？｡])[。！？｡]++[{_WIDE_CLOSING}]*+"
    rf"|(?<![!?])[!?]++[{_WIDE_CLOSING}]*+(?=[{_WIDE}]))\s*+"
)
_CLAUSE = re.compile(rf"[,;:،؛][{_CLOSING}]*+\s++|\s(?=[–—-]\s)|[，、；：]\s*+|——+")
_SPACE = re.compile(r"\s++")
_NOT_SPACE = re.compile(r"\S")
_CHARACTER = re.compile(r"(?=\w)")  # never before a combining mark
_WORD = re.compile(r"[^\s\"'’“„«(\[]*\Z")
_NUMBER = re.compile(r"\d{1,2}|[IVXL]+")
_LONGEST_ABBREVIATION = 20


def sentences(text: str, language: str = "") -> list[str]:
    """The text in parts, each of which ends with a sentence and the white space after it. "" has one part.

    language: code of the text's language ("de", "pt-BR"); one that is not known here has the rules common to all.
    """
    parts, start, language = [], 0, base_of(language)
    for match in _END.finditer(text):
        if match.end() < len(text) and _is_end(text, match, start, language):
            parts.append(text[start : match.end()])
            start = match.end()
    return [*parts, text[start:]]


def halves(text: str) -> tuple[str, str]:
    """A text of two characters or more, cut near its middle: at the end of a sentence or clause, a space or a
    character."""
    middle = len(text) // 2
    for cut in (_END, _CLAUSE, _SPACE):
        ends = (match.end() for match in cut.finditer(text, middle - middle // 2, middle + middle // 2))
        if best := min(ends, key=lambda end: abs(end - middle), default=0):
            return text[:best], text[best:]
    found = _CHARACTER.search(text, middle)
    best = found.start() if found else middle
    return text[:best], text[best:]


def joins_without_space(language: str) -> bool:
    """Whether the language has no space between two sentences: Chinese and Japanese."""
    return script_of(language) in ("Hans", "Hant", "Hani", "Jpan")


def _is_end(text: str, match: re.Match[str], start: int, language: str) -> bool:
    """Whether the matched marks end a sentence that begins at `start`."""
    marks = match.group()
    if marks[0] in "。！？｡":  # 「…。」と言った goes on
        return not (marks.rstrip()[-1] in _WIDE_CLOSING and text[match.end()] in "とっなのをがにはも、，")
    if text[match.end()] == "“" and not marks[-1].isspace() and not joins_without_space(language):
        return False  # „Hilfe!“. closes there
    following = _following(text, match.end())
    if not following or following.islower() or following in ",;:–-…":
        return False
    return marks[0] != "." or marks[:2] == ".." or not _is_abbreviation(text, match.start(), start, language)


def _following(text: str, position: int) -> str:
    """The first character from there on that opens no quote, bracket or turn of a dialogue."""
    while position < len(text) and text[position] in _OPENING:
        position += 1
    return text[position : position + 1]


def _is_abbreviation(text: str, stop: int, start: int, language: str) -> bool:
    """Whether the full stop at `stop` belongs to the word before it."""
    found = _WORD.search(text[max(start, stop - _LONGEST_ABBREVIATION) : stop])
    word = found.group() if found else ""
    if "." in word[1:]:  # U.S., z.B.; but "At 10 a.m. It"
        return all(len(each) <= 2 for each in word.split(".")) and word.lower() not in ("a.m", "p.m")
    if len(word) == 1 and word.isalpha():  # an initial; not the pronoun, nor the end of "can't"
        return (word, language) != ("I", "en") and (word.isupper() or text[stop - 2 : stop - 1] not in ("'", "’"))
    if _NUMBER.fullmatch(word):  # 1. Januar; or the number of an item
        return language in _ORDINALS or (stop - len(word) == start and word.isdigit())
    lower = word.lower()
    if lower in _KNOWN.get(language, _KNOWN[""]):
        return True
    following = _NOT_SPACE.search(text, stop + 1)
    if following is None or not following.group().isdigit():
        return False
    is_street = language == "de" and lower.endswith("str")  # Bahnhofstr. 5
    return is_street or lower in _KNOWN_BEFORE_NUMBERS.get(language, _KNOWN_BEFORE_NUMBERS[""])
