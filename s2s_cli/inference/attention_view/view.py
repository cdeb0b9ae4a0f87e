"""The attention of a stream of translations, drawn into a file as they arrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from s2s_cli.errors import MachineError, UsageError
from s2s_cli.inference.attention_view.heat_map import HeatMap
from s2s_cli.inference.attention_view.html_page import HtmlPage
from s2s_cli.inference.attention_view.png_files import PngFiles

if TYPE_CHECKING:
    from s2s_cli.inference.translation import Translation


class Painter(Protocol):
    """One form of drawing, made with the path of its file. Faults of the disk are OSErrors."""

    def open(self) -> None: ...
    def draw(self, heat_map: HeatMap) -> None: ...
    def close(self) -> None: ...


PAINTERS: dict[str, type[HtmlPage] | type[PngFiles]] = {".html": HtmlPage, ".htm": HtmlPage, ".png": PngFiles}
"""By the ending of the file."""


class AttentionView:
    """A context manager: the file is started on entering and completed on leaving, however the stream ends.

    Lines are counted over the whole stream; each part of a line (sentence) is drawn by itself. A line without pieces (a
    blank one) is counted, but not drawn. Memory does not grow. Raises UsageError for an unknown ending of the file name
    and for a model without attention, MachineError where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in PAINTERS:
            known = " or ".join(PAINTERS)
            raise UsageError(f"the name should end in {known}", where=f"--attention {path}")
        self._path = path
        self._painter: Painter = PAINTERS[path.suffix](path)
        self._lines = 0

    def __enter__(self) -> AttentionView:
        with self._naming_the_file():
            self._painter.open()
        return self

    def __exit__(self, *_: object) -> None:
        with self._naming_the_file():
            self._painter.close()

    def show(self, translations: Sequence[Translation]) -> None:
        """Draw the translations of the next lines."""
        for translation in translations:
            self._lines += 1
            for number, part in enumerate(translation.parts or [translation], start=1):
                if part.tokens:
                    name = f"{self._lines}.{number}" if translation.parts else f"{self._lines}"
                    with self._naming_the_file():
                        self._painter.draw(HeatMap.of(name, part))

    @contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MachineError(f"cannot be written: {error.strerror or error}", where=self._path) from error
