"""Heat maps as pictures, one file a sentence, by matplotlib."""

from __future__ import annotations

import io
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from s2s_cli import console
from s2s_cli.errors import UsageError
from s2s_cli.inference.attention_view.heat_map import HeatMap

# matplotlib's own font has no Chinese, Japanese or Korean: the first of these that is installed is used as well.
WIDE_FONTS = (
    "Noto Sans CJK SC|Noto Sans CJK JP|Noto Sans SC|Noto Sans JP|Source Han Sans|WenQuanYi Zen Hei|WenQuanYi Micro Hei"
    "|Droid Sans Fallback|IPAexGothic|TakaoGothic|Unifont|PingFang SC|Hiragino Sans|Arial Unicode MS|Microsoft YaHei"
    "|Yu Gothic|MS Gothic"
).split("|")
INCHES_A_PIECE, DOTS_AN_INCH = 0.3, 100
LONGEST_SIDE = 60.0  # inches: a larger picture could not be shown, so its cells become smaller


class PngFiles:
    """The first sentence goes to `FILE.png` itself, each later one to `FILE-<line>.png`, or `FILE-<line>.<part>.png`.

    Raises UsageError where matplotlib is missing.
    """

    def __init__(self, path: Path) -> None:
        if find_spec("matplotlib") is None:
            raise UsageError(
                "pictures need matplotlib, which is not installed",
                where=f"--attention {path}",
                hint="pip install 's2s-cli[plots]', or name a file that ends in .html",
            )
        self._path = path
        self._drawn = 0
        self._warned = False

    def open(self) -> None:
        """Find the fonts."""
        from matplotlib import font_manager, rcParams

        installed = set(font_manager.get_font_names())
        self._fonts = [*rcParams["font.sans-serif"][:1], *[name for name in WIDE_FONTS if name in installed][:1]]

    def draw(self, heat_map: HeatMap) -> None:
        """Write the picture of one sentence."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            picture = _picture(heat_map, self._fonts)
        path = self._path.with_stem(f"{self._path.stem}-{heat_map.name}") if self._drawn else self._path
        path.write_bytes(picture)
        self._drawn += 1
        if not self._warned and any("missing from" in str(warning.message) for warning in caught):
            console.warn("some characters are in no installed font and are drawn as boxes (try Noto Sans CJK)")
            self._warned = True

    def close(self) -> None:
        """Every picture is complete already."""


def _picture(heat_map: HeatMap, fonts: list[str]) -> bytes:
    from matplotlib.figure import Figure

    T, S = heat_map.weights_TS.shape
    labels: dict[str, Any] = {"fontfamily": fonts, "parse_math": False}  # "$" is no formula
    sides = [min(LONGEST_SIDE, 1.5 + INCHES_A_PIECE * pieces) for pieces in (S, T)]
    figure = Figure(figsize=(sides[0], sides[1]), dpi=DOTS_AN_INCH)
    axes = figure.subplots()
    axes.imshow(heat_map.weights_TS, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    axes.set_xticks(range(S), heat_map.columns, rotation=90, **labels)
    axes.set_yticks(range(T), heat_map.rows, **labels)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()
