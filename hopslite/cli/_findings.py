"""Findings of `hopslite doctor`: their form for people and for programs, and the exit code."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import click

from ._output import write_json

__all__ = ["Finding", "report"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """Result of one check: `state` is "ok", "note" (fine without it) or "problem"."""

    subject: str
    state: str
    text: str
    todo: str = ""

    def to_json(self) -> dict[str, str]:
        return {"what": self.subject, "state": self.state, "found": self.text, "todo": self.todo}


def report(findings: Iterable[Finding], is_json: bool) -> int:
    """Write findings as they come, or all as JSON; returns 1 if there is a problem among them, otherwise 0."""
    findings_so_far = []
    for finding in findings:
        findings_so_far.append(finding)
        if not is_json:
            _show(finding)
    if is_json:
        write_json([finding.to_json() for finding in findings_so_far])
    return 1 if any(finding.state == "problem" for finding in findings_so_far) else 0


def _show(finding: Finding) -> None:
    """Write a finding for people: a mark, the subject and the text, and what to do in a second line."""
    mark, colour = {"ok": ("ok", "green"), "note": ("--", "yellow"), "problem": ("NO", "red")}[finding.state]
    click.echo(f"{click.style(mark, fg=colour, bold=True)}  {finding.subject + ':':<12}{finding.text}")
    if finding.todo:
        click.echo(f"    {'':<12}{finding.todo}")
