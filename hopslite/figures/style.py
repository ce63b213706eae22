"""What all figures have in common: sizes, colours, fonts, axes, and that no text is taken for a formula.

Nothing here reads or changes matplotlib's global settings beyond the defaults that every figure starts with.
"""

from __future__ import annotations

import base64
import functools
import io
import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, Formatter, Locator, MaxNLocator, MultipleLocator, NullFormatter, NullLocator

from .. import _format
from .view import Column, Floats, Scale, View, counted, label

__all__ = [
    "BEST",
    "Chart",
    "DOT",
    "GRID",
    "INK",
    "MUTED",
    "PALETTE",
    "chart",
    "drawable",
    "dress",
    "fade",
    "finish",
    "fit",
    "header",
    "lay_out",
    "lead",
    "legend",
    "metric_axis",
    "numbers",
    "parameter_axis",
    "png",
    "spread",
    "ticks",
    "tint",
    "titled",
    "whole_numbers",
]

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#e3e7eb", "#ffffff"
DOT, BEST = "#0072b2", "#d55e00"  # of Okabe and Ito's palette, whose colours colour-blind people can tell apart
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442", "#d55e00", "#999999")
DPI = 100
TOP, LINE, PAD = 0.78, 0.2, 0.14  # inches
POINT_CHARS = 14.2  # characters of a note in an inch
BOX = "\u25a1"  # for what no font has

# Beside matplotlib's own font, those that are there of some that have the world's scripts.
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei",
         "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Malgun Gothic", "Apple SD Gothic Neo", "Noto Sans Arabic",
         "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji", "Arial Unicode MS")  # fmt: skip


class Chart(Figure):
    """A figure that a notebook shows as it is: IPython itself only knows those that were made through pyplot."""

    def _repr_png_(self) -> bytes:
        return png(self)

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """As a picture with twice the pixels, for screens that have them, and the size that it is to have."""
        width, height = (round(inches * DPI) for inches in self.get_size_inches())
        picture = base64.b64encode(png(self, 2 * DPI)).decode()
        return {"image/png": picture, "text/plain": repr(self)}, {"image/png": {"width": width, "height": height}}


def png(figure: Figure, dpi: int = DPI) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, facecolor=PAPER, bbox_inches=None)
    return file.getvalue()


def header(view: View) -> str:
    """One line about the run."""
    return " · ".join([*lead(view.run.name, view.run.version, view.run.verb), *_metric_facts(view)])


def lead(name: str, version: int, verb: str) -> list[str]:
    return [f"{label(name)} version {version}", verb]


def _metric_facts(view: View) -> list[str]:
    towards = "higher" if view.direction == "MAX" else "lower"
    return [f"{view.metric}, {towards} is better", counted(len(view.ended), "trial")]


def titled(column: Column, inches: float) -> str:
    """The title of a parameter's axes."""
    log = " (log)" if column.kind == "log" else ""
    return fit(label(column.name, 80), inches - 0.45 * bool(log)) + log


def lay_out(columns: int, most: int, width: float) -> tuple[int, int, float]:
    """Rows and columns of small multiples, and how wide each is when the figure is to be `width` wide."""
    across = max(1, min(columns, most))
    return math.ceil(columns / across), across, width / across


def chart(width: float, height: float, title: str, about: str, notes: Sequence[str] = ()) -> Chart:
    """A figure with room for axes of `height` inches, below a title and a line about the run, above the notes."""
    text = "; ".join(notes)
    lines = textwrap.wrap(text[:1].upper() + text[1:] + "." if text else "", int(width * POINT_CHARS))[:4]
    bottom = PAD + LINE * len(lines) + (0.06 if lines else 0.0)
    total = height + TOP + bottom
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
    """Make sure that every text is drawn as it is, whatever it holds, with fonts that have its characters."""
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
    found: set[int] = set()
    for name in families():
        found.update(font_manager.get_font(font_manager.findfont(name)).get_charmap())
    return frozenset(found)


@functools.cache
def _advance(character: str) -> float:
    """The width of a character, in parts of the font's size; one where another font has it."""
    font = font_manager.get_font(font_manager.findfont(families()[0]))
    if not font.get_char_index(ord(character)):
        return 1.0
    font.set_size(1000, 72)
    return float(font.load_char(ord(character)).linearHoriAdvance) / 65536 / 1000


def fit(text: str, inches: float, size: float = 9.5, bold: bool = True) -> str:
    """The text, cut to a width."""
    room, used = inches * 72 / size / (1.13 if bold else 1.0), 0.0
    for place, character in enumerate(text):
        used += _advance(character)
        if used > room:
            return _format.cut(text, max(2, place))
    return text


def drawable(text: str) -> str:
    """The text with a box for each character that no font has; matplotlib would warn of each, at every drawing."""
    if text.isascii():
        return text
    return "".join(c if c == "\n" or ord(c) in _characters() else BOX for c in text)


def dress(axes: Axes, x: str = "", y: str = "", title: str = "", grid: str = "y") -> None:
    """The look of axes: real names, few lines."""
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
    """Above the axes, where it hides nothing."""
    shown = axes.get_legend_handles_labels()[0] if handles is None else handles
    if shown:
        axes.legend(
            handles=shown, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, frameon=False, fontsize=8.5,
            labelcolor=INK, handletextpad=0.5, columnspacing=1.4, borderaxespad=0.2, handlelength=1.6,
        )  # fmt: skip


def fade(count: int, floor: float = 0.08) -> float:
    """How opaque each of many marks is, so that where they are dense can be seen."""
    return float(np.clip(8 / math.sqrt(max(count, 1)), floor, 0.85))


def tint() -> Colormap:
    """For goodness from 0 to 1: dark is good, so that what is bad does not stand out. Without the palest yellows."""
    return ListedColormap(colormaps["viridis"](np.linspace(0.93, 0.0, 256)))


def ticks(low: float, high: float, log: bool, most: int = 5) -> list[float]:
    """Round numbers on a scale, its ends not among them unless they are round."""
    if not high > low:
        return [low]
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for multiples in ((1,), (1, 3), (1, 2, 5)):
            steps = [multiple * 10.0**power for power in powers for multiple in multiples]
            found = [at for at in steps if low * (1 - 1e-9) <= at <= high * (1 + 1e-9)]
            if len(found) >= 3:
                return found[:: math.ceil(len(found) / most)]
    found = [float(at) for at in MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    slack = (high - low) * 1e-9
    return [at for at in found if low - slack <= at <= high + slack] or [low, high]


def numbers(values: Sequence[float]) -> list[str]:
    """Numbers of one axis in as few digits as say where each is."""
    shown: list[str] = []
    apart = min((abs(b - a) for a, b in itertools.pairwise(values)), default=0.0)
    for digits in range(6, 18):
        shown = [f"{value:.{digits}g}" for value in values]
        off = max((abs(float(text) - value) for text, value in zip(shown, values, strict=True)), default=0.0)
        if len(values) < 2 or off <= apart / 1000:
            break
    return [_tidy(text) for text in shown]


def _tidy(text: str) -> str:
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "\u2212") if e else text.replace("-", "\u2212")


class _Numbers(Formatter):
    """Numbers of one axis, told apart, without an offset or a factor above it, and without formulas."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return numbers([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        texts = numbers(values)
        if any("e" in text for text in texts):
            return texts
        decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
        return [f"{value:.{decimals}f}".replace("-", "\u2212") for value in values]


class _Apart(_Numbers):
    """Of a logarithmic axis: 0.01 and 100 have no digits in common."""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        return numbers(values)


def _number_axis(axis: Axis, scale: Scale, most: int, listed: Sequence[float] = ()) -> None:
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(_Apart() if scale.log or listed else _Numbers())
    if scale.log or listed:
        axis.set_major_locator(FixedLocator(list(listed) or ticks(scale.low, scale.high, True, most)))
    else:
        axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]))


def whole_numbers(last: float, most: int) -> Locator:
    """Ticks for counts from 0 or 1 to `last`."""
    return MultipleLocator(1) if last <= most else MaxNLocator(nbins=most, integer=True, steps=[1, 2, 5, 10])


def metric_axis(axes: Axes, scale: Scale, most: int = 6) -> None:
    """The vertical axis, for a metric."""
    _limit(axes.set_yscale, axes.set_ylim, scale, 0.05)
    _number_axis(axes.yaxis, scale, most)


def parameter_axis(axes: Axes, column: Column, most: int = 5) -> None:
    """The horizontal axis, for a parameter."""
    if column.kind == "category":
        shown = [drawable(_format.cut(text, 14)) for text in column.labels]
        slanted = len(shown) > 4 or sum(map(len, shown)) > 26
        axes.set_xticks(range(len(shown)), shown)
        if slanted:
            many = len(shown) > 8
            axes.set_xticks(range(len(shown)), shown, rotation=60 if many else 35, ha="right", rotation_mode="anchor",
                            fontsize=7 if many else 8.5)  # fmt: skip
        axes.set_xlim(-0.6, len(shown) - 0.4)
        return
    longest = max(map(len, numbers(ticks(column.scale.low, column.scale.high, column.scale.log))))
    most = most if longest <= 7 else 3 if longest <= 10 else 1
    _limit(axes.set_xscale, axes.set_xlim, column.scale, 0.14 if len(column.listed) > 1 else 0.05)
    _number_axis(axes.xaxis, column.scale, most, column.listed)


def _limit(set_scale: Any, set_limits: Any, scale: Scale, margin: float) -> None:
    low, high = scale.low, scale.high
    if scale.log:
        set_scale("log")
        room = 10 ** (margin * (math.log10(high) - math.log10(low))) if high > low else 2.0
        set_limits(low / room, high * room)
        return
    with np.errstate(over="ignore"):
        room = (high - low) * margin if high > low else abs(low) * 0.1 or 1.0
    if math.isfinite(room):
        set_limits(low - room, high + room)


def spread(values: Floats, seed: int, width: float = 0.28) -> Floats:
    """The values, each moved a little at random, the same at each drawing."""
    return np.asarray(values + np.random.default_rng(seed).uniform(-width, width, len(values)), dtype=np.float64)
