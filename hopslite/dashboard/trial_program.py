"""Program, environment and inputs of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from ..core import formatting
from ..core.redaction import redact
from ..runs.recorded_source import read_source
from ..storage.records import command_of, git_of
from ..storage.run_directory import RunDir
from .feeds import in_thread
from .widgets import empty, facts, section, table, text_block

__all__ = ["build_program"]

MOST_TEXT = 256 << 10  # characters
RECORDS = ("git.json", "command.json", "environment.txt")
MOST_BYTES = 4 << 20


async def build_program(run: RunDir, record: Mapping[str, Any]) -> None:
    """Make the tab Program."""
    sources = await in_thread(read_source, run, record)
    git, command, environment = await in_thread(_records, run)
    with ui.element("div").classes("hl-columns"):
        with section("Program"):
            _program(record, git, command)
        with section("Inputs"):
            inputs = record.get("inputs") or {}
            if inputs:
                table(["name", "source", "kind"], [_input(name, item) for name, item in inputs.items()])
            else:
                empty("It has none.")
    with section("Source"):
        if not sources:
            empty("It was not recorded.")
        elif len(sources) == 1:
            text_block(next(iter(sources.values()))[:MOST_TEXT], "Source")
        else:
            _files(sources)
    with section("Environment"):
        if environment:
            text_block(environment[:MOST_TEXT], "Installed packages")
        else:
            empty("It was not recorded.")


def _files(sources: Mapping[str, str]) -> None:
    names = list(sources)
    box = ui.element("div")

    def show(place: int) -> None:
        box.clear()
        with box:
            text_block(sources[names[place]][:MOST_TEXT], names[place])

    options = dict(enumerate(map(formatting.plain, names)))
    select = ui.select(options, value=0, on_change=lambda event: show(event.value)).props(
        "dense outlined options-dense"
    )
    select.classes("hl-choice")
    select.move(target_index=1)
    show(0)


def _records(run: RunDir) -> tuple[dict[str, Any], dict[str, Any] | None, str]:
    contents = [content if isinstance(content, bytes) else None for content in run.read_each(RECORDS, MOST_BYTES)]
    return git_of(contents[0]), command_of(contents[1]), (contents[2] or b"").decode("utf-8", "replace")


def _program(record: Mapping[str, Any], git: Mapping[str, Any], command: Mapping[str, Any] | None) -> None:
    function = record.get("function") or {}
    changed = git.get("changed") or []
    words = [*command["options"], command["program"], *command["parameters"]] if command else []
    facts(
        [
            ("program", formatting.plain(str(record.get("program") or ""))),
            ("function", formatting.plain(str(function.get("name") or ""))),
            ("command", redact(formatting.one_line("hopslite run " + " ".join(words))) if words else ""),
            ("commit", formatting.plain(str(git.get("commit") or ""))),
            ("branch", formatting.plain(str(git.get("branch") or ""))),
            ("changed since", formatting.one_line(", ".join(map(str, changed))) if changed else ""),
            ("hopslite", formatting.plain(str(record.get("hopslite") or ""))),
            ("Python", formatting.plain(str(function.get("python") or ""))),
            ("user", formatting.plain(str(record.get("user") or ""))),
        ]
    )


def _input(name: str, item: Mapping[str, Any]) -> tuple[str, str, str]:
    return formatting.plain(name), formatting.one_line(redact(str(item.get("url") or ""))), str(item.get("kind") or "")
