"""Heat maps as one self-contained HTML page without scripts, network access or pictures."""

from __future__ import annotations

from html import escape
from pathlib import Path

from s2s_cli.inference.attention_view.heat_map import HeatMap

FAINTEST = 0.005  # a weight below it would be shown as 0.00

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Attention</title>
<style>
:root { color-scheme: light dark; --shade: 29, 78, 216 }
@media (prefers-color-scheme: dark) { :root { --shade: 125, 180, 255 } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1rem }
h1 { font-size: 1.4rem; margin: 0 }
h2 { font-size: 1rem; margin: 0 }
p { margin: 0; overflow-wrap: anywhere }
section { border-top: 1px solid rgba(128, 128, 128, .5); margin-top: 1.5rem; padding-top: .75rem }
div { margin-top: .5rem; overflow-x: auto }
table { border-collapse: collapse }
th { font-weight: normal; line-height: 1.2; white-space: nowrap }
th[scope=col] { padding: .3rem 0; vertical-align: bottom; writing-mode: vertical-rl }
th[scope=row] { background: Canvas; left: 0; padding: 0 .4rem; position: sticky; text-align: end }
td { background: rgba(var(--shade), var(--w, 0)); border: 1px solid rgba(128, 128, 128, .25);
  height: 1.5rem; min-width: 1.5rem; padding: 0 }
</style>
</head>
<body>
<h1>Attention</h1>
<p>A row for each piece of the translation, a column for each piece of the source. The stronger the colour of a cell,
the more weight the source piece had when the row's piece was written; the weights of a row add up to 1. Point at a cell
to read its weight.</p>
"""
_TAIL = "</body>\n</html>\n"


class HtmlPage:
    """Written sentence by sentence. An incomplete page can be read up to where it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> None:
        """Begin the page; an old one is overwritten."""
        self._file = self._path.open("w", encoding="utf-8", errors="replace", newline="\n")
        self._write(_HEAD)

    def draw(self, heat_map: HeatMap) -> None:
        """Append one sentence."""
        self._write(section(heat_map))

    def close(self) -> None:
        """End the page."""
        try:
            self._write(_TAIL)
        finally:
            self._file.close()

    def _write(self, text: str) -> None:
        self._file.write(text)  # in one call, so that Ctrl-C never leaves an incomplete sentence
        self._file.flush()


def section(heat_map: HeatMap) -> str:
    """The HTML of one sentence."""
    columns = [escape(piece) for piece in heat_map.columns]
    heads = "".join(f"<th scope=col>{column}</th>" for column in columns)
    body = "".join(
        _row(escape(piece), columns, weights_S)
        for piece, weights_S in zip(heat_map.rows, heat_map.weights_TS.tolist(), strict=True)
    )
    return (
        f"<section>\n<h2>Line {heat_map.name}</h2>\n"
        f"<p><bdi>{escape(heat_map.source)}</bdi></p>\n<p><bdi>{escape(heat_map.translation)}</bdi></p>\n"
        f"<div><table>\n<tr><td></td>{heads}</tr>\n{body}</table></div>\n</section>\n"
    )


def _row(piece: str, columns: list[str], weights_S: list[float]) -> str:
    cells = "".join(_cell(piece, column, weight) for column, weight in zip(columns, weights_S, strict=True))
    return f"<tr><th scope=row>{piece}</th>{cells}</tr>\n"


def _cell(piece: str, column: str, weight: float) -> str:
    shade = f' style="--w:{weight:.2f}"' if weight >= FAINTEST else ""
    return f'<td{shade} title="{piece} ← {column}: {weight:.2f}"></td>'
