"""HTML report of a run: facts, figures and best trials in a single self-contained file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ..core import formatting
from ..core.objectives import described
from ..result import Run
from ..storage.run_directory import RunDir
from .plotly_library import policy_sources, scripts

__all__ = ["render_report"]

ROWS = 50
TABLE = "trials"  # id of the table
TEXT = 2000  # characters of a fact
# Nothing is loaded and no script runs but plotly.js, if it is there, whatever a name or a value holds.
POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --line: #d0d7de; --soft: #59636e; --link: #0969da; --page: #fff; --text: #1f2328 }
@media (prefers-color-scheme: dark) {
  :root { --line: #3d444d; --soft: #9198a1; --link: #4493f8; --page: #0d1117; --text: #f0f6fc }
  img, .interactive { filter: invert(.93) hue-rotate(180deg) }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  background: var(--page); color: var(--text) }
h1 { font-size: 1.5rem; margin-bottom: .2rem; overflow-wrap: anywhere }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; margin: 1rem 0 }
a { color: var(--link) }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0 }
dt { color: var(--soft) }
dd { margin: 0; overflow-wrap: anywhere }
img { max-width: 100%; background: #fff; border-radius: 6px; border: 1px solid var(--line) }
figure { margin: 1.2rem 0 }
.interactive { border: 1px solid var(--line); border-radius: 6px; overflow: hidden; background: #fff }
.replaced img { display: none }
@media print {
  :root { --page: #fff; --text: #1f2328 }
  img { filter: none }
  .interactive { display: none }
  .replaced img { display: block }
}
.wide { overflow-x: auto }
table { font-size: .85rem; font-variant-numeric: tabular-nums }
td { overflow-wrap: break-word }
.note { color: var(--soft) }
"""


def render_report(
    run: Run,
    figures: Mapping[str, tuple[str, bytes]],
    failures: Mapping[str, str],
    interactive: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """HTML of the report.

    Args:
        figures: an alternative text and a PNG by name.
        failures: the errors of those that could not be drawn.
        interactive: plotly's JSON of those that are drawn by the browser.
    """
    title = html.escape(formatting.one_line(f"{run.name} version {run.version}"))
    trials, omitted = formatting.select(run.trials, run.direction, run._chosen, ROWS)
    table = formatting.html_table(trials, {trial.id for trial in run._chosen}, omitted)
    heading = "Best trials" if run.direction else "Trials"
    pictures = "".join(_picture(name, *figure) for name, figure in figures.items())
    problems = "".join(
        f'<p class="note">{html.escape(name)} could not be drawn: {html.escape(formatting.one_line(why))}</p>'
        for name, why in failures.items()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}{policy_sources() if interactive else ""}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>"
        f"<dl>{''.join(map(_fact, *zip(*_facts(run), strict=True)))}</dl>\n"
        f"{_contents(figures, heading)}{pictures}{problems}"
        f'<h2 id="{TABLE}">{heading}</h2><div class="wide">{table}</div>\n'
        f"{scripts(interactive) if interactive else ''}</body></html>\n"
    )


def _contents(figures: Iterable[str], heading: str) -> str:
    """Links to the figures and the table."""
    links = {**{name: name.replace("_", " ").capitalize() for name in figures}, TABLE: heading}
    items = "".join(f'<a href="#{html.escape(name)}">{html.escape(text)}</a>' for name, text in links.items())
    return f'<nav aria-label="Contents">{items}</nav>\n'


def _picture(name: str, text: str, png: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<figure id="{html.escape(name)}"><img alt="{html.escape(text)}" src="{source}"></figure>\n'


def _fact(name: str, text: str) -> str:
    return f"<dt>{html.escape(name)}</dt><dd>{html.escape(formatting.one_line(text, TEXT))}</dd>"


def _facts(run: Run) -> list[tuple[str, str]]:
    """Facts of a run as pairs of a name and a text; unknown ones are left out."""
    best = run._best
    states = ", ".join(f"{count} {state.value.lower()}" for state, count in run.counts.items())
    facts = [
        ("run", run.run_id),
        ("what", f"{run.verb}, {run.state}"),
        ("description", run.description),
        ("error", run.error),
        ("metric", f"{run.optimization_key or 'metric'} ({run.direction.lower()})" if run.direction else None),
        ("metrics", described(run.objectives)),
        ("best", f"{formatting.metric(best.metric)} (trial {best.id})" if best else None),
        ("best parameters", formatting.exact_params(best.params) if best else None),
        ("trials", states or "none"),
        ("began", f"{run.started:%Y-%m-%d %H:%M:%S} UTC" if run.started else None),
        ("duration", formatting.duration(run.duration)),
        ("seed", None if run.seed is None else str(run.seed)),
        ("tags", json.dumps(run.tags, ensure_ascii=False) if run.tags else None),
        ("directory", RunDir(run.logdir).shown),
    ]
    return [(name, text) for name, text in facts if text]
