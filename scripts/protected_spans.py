"""Whether protected spans come out of a translation: exactly once, and tags nested as they were.

    python scripts/protected_spans.py tag < sources.txt > tagged.txt          # puts tags and placeholders into text
    python scripts/protected_spans.py messages *.mo > messages.txt            # translations of programs, one a line
    s2s translate --protect tags,placeholders,urls,emails < tagged.txt > translated.txt
    python scripts/protected_spans.py check tagged.txt translated.txt

tag       words become placeholders, and phrases stand between tags, at random (--seed, --share of the words)
messages  those with protected spans of compiled catalogues of GNU gettext, as Debian's packages have them
check     counts; exits with 1 if a span is lost or repeated, or if a pair is not nested that was
"""

from __future__ import annotations

import argparse
import gettext
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from s2s_cli.text.codes import Code, Kind
from s2s_cli.text.protected import Finder

PLACEHOLDERS = ("%s", "%d", "{name}", "${HOME}", "%(count)d", "https://example.org/a?b=1", "a.b@example.org", "<br/>")
TAGS = ("b", "i", "a", "code")
LONGEST = 4  # words between two tags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("tag", "messages", "check"))
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.15, help="of the words at which something is put (0.15)")
    options = parser.parse_args()
    if options.action == "tag":
        random = Random(options.seed)
        sys.stdout.writelines(f"{tagged(line, options.share, random)}\n" for line in map(str.rstrip, sys.stdin))
    elif options.action == "messages":
        sys.stdout.writelines(f"{line}\n" for line in messages(options.files))
    else:
        sources, translations = (path.read_text(encoding="utf-8").split("\n")[:-1] for path in options.files)
        counts = sum((checked(*pair) for pair in zip(sources, translations, strict=True)), Counter[str]())
        print(", ".join(f"{name}: {counts[name]:,}" for name in ("lines", "spans", "kept", "nested", "nested_kept")))
        sys.exit(counts["kept"] < counts["spans"] or counts["nested_kept"] < counts["nested"])


def tagged(line: str, share: float, random: Random) -> str:
    """The line with placeholders for some of its words, and tags around some of its phrases."""
    words, result = line.split(), list[str]()
    while words:
        chance = random.random() / share
        if chance < 0.5:
            words[0] = random.choice(PLACEHOLDERS) + ("." if words[0].endswith(".") else "")
        elif chance < 1:
            count, tag = random.randint(1, LONGEST), random.choice(TAGS)
            result.append(f"<{tag}>{' '.join(words[:count])}</{tag}>")
            words = words[count:]
            continue
        result.append(words.pop(0))
    return " ".join(result)


def messages(paths: list[Path]) -> Iterator[str]:
    """All different messages with protected spans, each as one line."""
    seen = set()
    for path in paths:
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # it has no other reader
        for source, text in catalogue.items():
            line = " ".join(str(text).split())
            if source and line not in seen and any(isinstance(part, Code) for part in Finder().parts(line)):
                seen.add(line)
                yield line


def checked(source: str, translation: str) -> Counter[str]:
    """How many spans a line has, and how many of them its translation has as often; whether pairs are nested."""
    codes = [[part for part in Finder().parts(text) if isinstance(part, Code)] for text in (source, translation)]
    wanted, found = (Counter(code.text for code in side) for side in codes)
    kept = sum(count for span, count in wanted.items() if found[span] == count)
    nested = is_nested(codes[0])
    return Counter(
        lines=1, spans=wanted.total(), kept=kept, nested=nested, nested_kept=nested and is_nested(codes[1])
    )  # fmt: skip


def is_nested(codes: list[Code]) -> bool:
    """Whether each tag of a pair closes the one that was opened last."""
    stack: list[str] = []
    for code in codes:
        if code.kind is Kind.OPEN:
            stack.append(code.name)
        elif code.kind is Kind.CLOSE and (not stack or stack.pop() != code.name):
            return False
    return not stack


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `head` may stop reading
    main()
