"""A run on one page: its facts, its figures and its best trials, in a single file that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping

from .. import _format
from ..result import Run
from ..store import RunDir

__all__ = ["page"]

ROWS = 50
TEXT = 2000  # characters of a fact
# Nothing is loaded and no script runs, whatever a name or a value holds.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --line: #d0d7de; --soft: #59636e }
@media (prefers-color-scheme: dark) { :root { --line: #3d444d; --soft: #9198a1 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0 }
dt { color: var(--soft) }
dd { margin: 0; overflow-wrap: anywhere }
img { max-width: 100%; background: #fff; border-radius: 6px; border: 1px solid var(--line) }
figure { margin: 1.2rem 0 }
.wide { overflow-x: auto }
table { font-size: .85rem; font-variant-numeric: tabular-nums }
td { overflow-wrap: break-word }
.note { color: var(--soft) }
"""


def page(run: Run, figures: Mapping[str, tuple[str, bytes]], failures: Mapping[str, str]) -> str:
    """The HTML. `figures` has an alternative text and a PNG by name, `failures` what went wrong with others."""
    title = html.escape(_format.one_line(f"{run.name} version {run.version}"))
    trials, omitted = _format.select(run.trials, run.direction, run.best_trial, ROWS)
    table = _format.html_table(trials, run.best_trial.id if run.best_trial else None, omitted)
    pictures = "".join(_picture(name, *figure) for name, figure in figures.items())
    problems = "".join(
        f'<p class="note">{html.escape(name)} could not be drawn: {html.escape(_format.one_line(why))}</p>'
        for name, why in failures.items()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>"
        f"<dl>{''.join(map(_fact, *zip(*_facts(run), strict=True)))}</dl>\n"
        f"{pictures}{problems}"
        f'<h2>{"Best trials" if run.direction else "Trials"}</h2><div class="wide">{table}</div></body></html>\n'
    )


def _picture(name: str, text: str, png: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<figure id="{html.escape(name)}"><img alt="{html.escape(text)}" src="{source}"></figure>\n'


def _fact(name: str, text: str) -> str:
    return f"<dt>{html.escape(name)}</dt><dd>{html.escape(_format.one_line(text, TEXT))}</dd>"


def _facts(run: Run) -> list[tuple[str, str]]:
    """The run in pairs of a name and a text; what is not known is left out."""
    best = run.best_trial
    states = ", ".join(f"{count} {state.value.lower()}" for state, count in run.counts.items())
    facts = [
        ("run", run.run_id),
        ("what", f"{run.verb}, {run.state}"),
        ("description", run.description),
        ("error", run.error),
        ("metric", f"{run.optimization_key or 'metric'} ({run.direction.lower()})" if run.direction else None),
        ("best", f"{_format.metric(best.metric)} (trial {best.id})" if best else None),
        ("best parameters", _format.exact_params(best.params) if best else None),
        ("trials", states or "none"),
        ("began", f"{run.started:%Y-%m-%d %H:%M:%S} UTC" if run.started else None),
        ("duration", _format.duration(run.duration)),
        ("seed", None if run.seed is None else str(run.seed)),
        ("tags", json.dumps(run.tags, ensure_ascii=False) if run.tags else None),
        ("directory", RunDir(run.logdir).shown),
    ]
    return [(name, text) for name, text in facts if text]
