"""The command `migrate`: converts programs for HopsML and Maggy."""

from __future__ import annotations

import click

from ..migrate import FileReport, Finding, Kind, examine, python_files, save

__all__ = ["migrate_command"]

COLOURS = {Kind.CHANGE: "green", Kind.LOOK: "yellow", Kind.NOTE: "cyan", Kind.ERROR: "red"}
NEEDS_ATTENTION = 1


@click.command("migrate", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--write", is_flag=True, help="Change the imports in the files.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True))
def migrate_command(files: tuple[str, ...], write: bool) -> int:
    """Show the lines of programs for HopsML and Maggy that need a change or a look; with --write, change the imports.

    FILE is a program, a notebook, or a folder with any number of them. Nothing but import statements is changed.

    Exit code 0: nothing is left to be done; notes do not count. 1: something is.
    """
    paths = python_files(files)
    reports = [_written(report) if write else report for report in map(examine, paths)]
    for report in reports:
        for finding in report.findings:
            _show(report.path, finding, write)
    return _summary(reports, write)


def _written(report: FileReport) -> FileReport:
    """Report after a file was changed: the changes and the remaining remarks, or the error."""
    if report.after is None:
        return report
    problem = save(report)
    if problem is not None:
        unchanged = (finding for finding in report.findings if finding.kind is not Kind.CHANGE)
        return FileReport(report.path, (Finding(Kind.ERROR, 0, "", problem), *unchanged))
    changes = [finding for finding in report.findings if finding.kind is Kind.CHANGE]
    return FileReport(report.path, (*changes, *examine(report.path).findings))


def _show(path: str, finding: Finding, write: bool) -> None:
    place = f"{path}:cell {finding.cell}" if finding.cell else path
    place = f"{place}:{finding.line}" if finding.line else place
    word = "changed" if write and finding.kind is Kind.CHANGE else finding.kind.value
    click.echo(f"{click.style(place, bold=True)}: {finding.code}".rstrip())
    first, *rest = finding.message.splitlines()
    click.echo(f"  {click.style(f'{word:<8}', fg=COLOURS[finding.kind])}{first}")
    for line in rest:
        click.echo(f"{'':10}{line}")


def _summary(reports: list[FileReport], write: bool) -> int:
    kinds = [finding.kind for report in reports for finding in report.findings]
    changes, looks, errors = (kinds.count(kind) for kind in (Kind.CHANGE, Kind.LOOK, Kind.ERROR))
    parts = [
        _counted(changes, "import changed" if write else "import to change", "imports changed" if write else None),
        _counted(looks, "line needs a look", "lines need a look"),
        _counted(errors, "file could not be handled", "files could not be handled"),
    ]
    said = ", ".join(part for part in parts if part) or "nothing to do"
    hint = "; hopslite migrate --write changes the imports" if changes and not write else ""
    click.echo(f"{_counted(len(reports), 'file', 'files') or 'no files'}: {said}{hint}")
    return NEEDS_ATTENTION if looks or errors or (changes and not write) else 0


def _counted(number: int, one: str, several: str | None = None) -> str:
    return "" if not number else f"{number} {one if number == 1 else several or one.replace('import', 'imports')}"
