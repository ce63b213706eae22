"""Help of commands with the many options of a run, in sections."""

from __future__ import annotations

import click

from ..submission.options import OPTIONS, SECTIONS

__all__ = ["SectionedCommand"]


class SectionedCommand(click.Command):
    """Command whose help has its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {section: [] for section in (*SECTIONS, "Other")}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                known = OPTIONS.get(str(param.name))
                section = known.section if known else SECTIONS[0] if param.name == "environment" else "Other"
                sections[section].append(record)
        for section, records in sections.items():
            if records:
                with formatter.section(section):
                    formatter.write_dl(records)
