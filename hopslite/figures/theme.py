"""Theme of all figures: sizes, colours, fonts, axes, and text that is never parsed as a formula.

Nothing here reads or changes matplotlib's global settings beyond the defaults that every figure starts with.
"""

from __future__ import annotations

import base64
import functools
import io
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text

from ..core import formatting
from ..result import Trial
from .columns import Column, Floats, counted, label
from .data import View

__all__ = [
    "BEST",
    "Chart",
    "DOT",
    "FAILED",
    "GRID",
    "INK",
    "MUTED",
    "PALETTE",
    "best_label",
    "chart",
    "drawable",
    "dress",
    "fade",
    "figure_legend",
    "finish",
    "fit",
    "header",
    "lay_out",
    "lead",
    "legend",
    "order_colors",
    "png",
    "spread",
    "tint",
    "titled",
]

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#e3e7eb", "#ffffff"
DOT, BEST, FAILED = (
    "#0072b2",
    "#d55e00",
    "#82071e",
)  # of Okabe and Ito's palette, whose colours colour-blind people can tell apart
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442", "#d55e00", "#999999")
DPI = 100
COMPRESSION = (
    1  # of PNGs, from 0 to 9; with the default, 6, files are a quarter smaller and drawing costs an eighth more
)
TOP, LEGEND, LINE, PAD = 0.78, 0.25, 0.2, 0.14  # inches
POINT_CHARS = 14.2  # characters of a note in an inch
BOX = "\u25a1"  # for characters that no font has

# Beside matplotlib's own font, those that are there of some that have the world's scripts.
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei",
         "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Malgun Gothic", "Apple SD Gothic Neo", "Noto Sans Arabic",
         "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji", "Arial Unicode MS")  # fmt: skip


class Chart(Figure):
    """Figure that a notebook displays; IPython itself only knows those made through pyplot."""

    def _repr_png_(self) -> bytes:
        return png(self)

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """PNG with twice the pixels, for high-resolution screens, and its display size."""
        width, height = (round(inches * DPI) for inches in self.get_size_inches())
        picture = base64.b64encode(png(self, 2 * DPI)).decode()
        return {"image/png": picture, "text/plain": repr(self)}, {"image/png": {"width": width, "height": height}}


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """PNG of a figure; its canvas and its resolution are as before afterwards.

    `savefig` would draw a figure with a layout engine twice, first for the layout and then the picture.
    """
    file = io.BytesIO()
    canvas, resolution = figure.canvas, figure.get_dpi()
    try:
        figure.set_dpi(dpi)
        agg: Any = FigureCanvasAgg(figure)  # matplotlib declares no types of what it prints
        agg.print_png(file, pil_kwargs={"compress_level": COMPRESSION})
    finally:
        figure.set_dpi(resolution)
        figure.set_canvas(canvas)
    return file.getvalue()


def header(view: View) -> str:
    """Line about the run below the title."""
    return " · ".join([*lead(view.run.name, view.run.version, view.run.verb), *_metric_facts(view)])


def lead(name: str, version: int, verb: str) -> list[str]:
    return [f"{label(name)} version {version}", verb]


def _metric_facts(view: View) -> list[str]:
    towards = "higher" if view.direction == "MAX" else "lower"
    return [f"{view.metric}, {towards} is better", counted(len(view.ended), "trial")]


def titled(column: Column, inches: float) -> str:
    """Title of a parameter's axes."""
    log = " (log)" if column.kind == "log" else ""
    return fit(label(column.name, 80), inches - 0.45 * bool(log)) + log


def lay_out(columns: int, most: int, width: float) -> tuple[int, int, float]:
    """Rows and columns of small multiples, and their width in a figure that is `width` wide."""
    across = max(1, min(columns, most))
    return math.ceil(columns / across), across, width / across


def chart(
    width: float, height: float, title: str, about: str, notes: Sequence[str] = (), has_legend: bool = False
) -> Chart:
    """Figure with axes of `height` inches, a title, a line about the run, and room for the notes and a legend."""
    text = "; ".join(notes)
    lines = textwrap.wrap(text[:1].upper() + text[1:] + "." if text else "", int(width * POINT_CHARS))[:4]
    bottom = PAD + LINE * len(lines) + (0.06 if lines else 0.0)
    total = height + TOP + bottom + LEGEND * has_legend
    figure = Chart(figsize=(width, total), dpi=DPI, facecolor=PAPER, edgecolor=PAPER, linewidth=0)
    figure.set_layout_engine(
        "constrained", rect=(PAD / width, bottom / total, 1 - 2 * PAD / width, height / total),
        w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.04,
    )  # fmt: skip
    left = PAD / width + 0.06 / width
    figure.text(left, 1 - 0.16 / total, title, fontsize=13, fontweight="bold", color=INK, va="top")
    about = fit(about, width - 2 * PAD, 9, bold=False)
    figure.text(left, 1 - 0.45 / total, about, fontsize=9, color=MUTED, va="top")
    if lines:
        figure.text(left, PAD / total, "\n".join(lines), fontsize=8.5, color=MUTED, va="bottom", linespacing=1.35)
    return figure


def finish(figure: Chart) -> Chart:
    """Finish a figure: draw every text literally, with fonts that have its characters."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_usetex(False)
        text.set_fontfamily(families())
        text.set_text(drawable(text.get_text()))
    return figure


@functools.cache
def families() -> list[str]:
    there = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in FONTS if name in there] or ["sans-serif"]


@functools.cache
def _characters() -> frozenset[int]:
    codepoints: set[int] = set()
    for name in families():
        codepoints.update(font_manager.get_font(font_manager.findfont(name)).get_charmap())
    return frozenset(codepoints)


@functools.cache
def _advance(character: str) -> float:
    """Width of a character in parts of the font size; 1 if only another font has it."""
    font = font_manager.get_font(font_manager.findfont(families()[0]))
    if not font.get_char_index(ord(character)):
        return 1.0
    font.set_size(1000, 72)
    return float(font.load_char(ord(character)).linearHoriAdvance) / 65536 / 1000


def fit(text: str, inches: float, size: float = 9.5, bold: bool = True) -> str:
    """Text truncated to a width."""
    room, used = inches * 72 / size / (1.13 if bold else 1.0), 0.0
    for place, character in enumerate(text):
        used += _advance(character)
        if used > room:
            return formatting.cut(text, max(2, place))
    return text


def drawable(text: str) -> str:
    """Text with a box for each character that no font has, of which matplotlib would warn at every drawing."""
    if text.isascii():
        return text
    return "".join(c if c == "\n" or ord(c) in _characters() else BOX for c in text)


def dress(axes: Axes, x: str = "", y: str = "", title: str = "", grid: str = "y") -> None:
    """Style axes: real names, few lines."""
    axes.set_facecolor(PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#afb8c1")
    axes.spines[:].set_linewidth(0.8)
    axes.tick_params(which="both", colors=MUTED, labelcolor=MUTED, labelsize=8.5, width=0.8, length=3, direction="out")
    axes.tick_params(which="both", top=False, right=False, labelfontfamily=families())
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=False)
    if grid:
        axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.8, linestyle="-", alpha=1.0)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.set_xlabel(x, fontsize=9.5, color=INK, labelpad=4)
    axes.set_ylabel(y, fontsize=9.5, color=INK, labelpad=4)
    if title:
        axes.set_title(title, loc="left", fontsize=9.5, color=INK, fontweight="bold", pad=6)


def legend(axes: Axes, columns: int = 5, handles: Sequence[Artist] | None = None) -> None:
    """Legend above the axes, where it hides nothing."""
    shown = axes.get_legend_handles_labels()[0] if handles is None else handles
    if shown:
        axes.legend(
            handles=shown, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, frameon=False, fontsize=8.5,
            labelcolor=INK, handletextpad=0.5, columnspacing=1.4, borderaxespad=0.2, handlelength=1.6,
        )  # fmt: skip


def figure_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Legend of a whole figure that has room for it, in one line below that about the run."""
    width, height = figure.get_size_inches()
    figure.legend(handles=list(handles), loc="upper left", bbox_to_anchor=((PAD + 0.06) / width, 1 - 0.72 / height),
                  ncols=len(handles), frameon=False, fontsize=8.5, labelcolor=INK, handletextpad=0.4,
                  columnspacing=1.4, borderaxespad=0.0, borderpad=0.0,
                  handlelength=1.4).set_in_layout(False)  # fmt: skip


def best_label(trial: Trial) -> str:
    """Legend entry of the best trial."""
    return f"best: {formatting.metric(trial.metric)} (trial {trial.id})"


def fade(count: int, floor: float = 0.08) -> float:
    """Opacity of each of many marks, so that dense areas stay visible."""
    return float(np.clip(8 / math.sqrt(max(count, 1)), floor, 0.85))


def tint() -> Colormap:
    """Colour for goodness from 0 to 1: dark is good, so that bad values do not stand out; no pale yellows."""
    return ListedColormap(colormaps["viridis"](np.linspace(0.93, 0.0, 256)))


def order_colors() -> Colormap:
    """Colour of a trial's place in the order of their ends, from 0 to 1: the later, the darker."""
    return ListedColormap(colormaps["Blues"](np.linspace(0.35, 1.0, 256)))


def spread(values: Floats, seed: int, width: float = 0.28) -> Floats:
    """Values with reproducible jitter."""
    return np.asarray(values + np.random.default_rng(seed).uniform(-width, width, len(values)), dtype=np.float64)
