"""The commands `data …`: data sets of the project."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ..core.formatting import plain
from ..core.text_table import is_terminal
from ._options import agreed, as_json, check_command, home, project_option
from ._output import command, local_time, write, write_facts, write_json, write_table

if TYPE_CHECKING:
    from ..data import DataVersion
    from ..runs.data_set_uses import DataUse

__all__ = ["data_command"]

FILES, CLASSES = 20, 30  # that are shown
UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
LINE_SECONDS = 10.0  # between two lines about progress, where there is no terminal


class _Commands(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        check_command(ctx, args, list(self.commands))
        return super().resolve_command(ctx, args)


class _DataSet(click.ParamType):  # type: ignore[type-arg]
    name = "data set"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from ..storage.datasets.dataset import names

        try:
            known = names(home(ctx.find_root().params.get("project")))
        except Exception:  # noqa: BLE001 - nobody wants an error for a tab key
            return []
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]


DATA_SET = _DataSet()


def _bytes(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]b|b?)", text.strip().lower())
    size = int(float(match[1]) * UNITS[match[2]]) if match else 0
    if size < 1:
        raise click.BadParameter(f"{text!r} is no size; give a number of bytes, or 500MB, 20GB")
    return size


@click.group("data", cls=_Commands)
def data_command() -> None:
    """Data sets: numbered versions of files, which never change.

    NAME is a data set, and NAME/VERSION one of its versions; without a version the newest. A run gets one with
    --input train=data:NAME/VERSION, in Python inputs={"train": "data:NAME/VERSION"}.
    """


@data_command.command("create")
@click.argument("name")
@click.option("--description", metavar="TEXT", help="For people.")
@project_option
def create(place: str | None, name: str, description: str | None) -> None:
    """Create a data set, without versions."""
    from ..data import create

    create(name, description, project=place)
    write(f"created data set {name}; {command(f'data upload {name} PATH')} makes its first version")


@data_command.command("upload")
@click.argument("name", type=DATA_SET)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=str))
@click.option("--extract", is_flag=True, help="Unpack archives: .tar, .tgz, .tar.gz, .tar.bz2, .tar.xz, .zip.")
@click.option(
    "--max-unpacked",
    metavar="SIZE",
    callback=_bytes,
    help="To which an archive may unpack: 500MB, 20GB; default: 250 times its size, at least 1GB.",
)
@click.option("--check", is_flag=True, help="Read what is there already, and send it again where it is damaged.")
@click.option("--description", metavar="TEXT", help="For people.")
@project_option
def upload(
    place: str | None,
    name: str,
    paths: tuple[str, ...],
    extract: bool,
    max_unpacked: int | None,
    check: bool,
    description: str | None,
) -> None:
    """Upload files as a new version: the content of one directory, or several PATHs, each under its own name.

    What is there already is not sent again, so after an interruption, give the same command again.
    """
    from .. import data
    from ..driver.data_calls import upload_call
    from ..storage.datasets.upload import Reporting

    reporting = Reporting(lambda line: write(line, err=True), _bar)
    try:
        data_set, manifest = upload_call(name, paths, extract, max_unpacked, check, description, place, reporting)
    except (KeyboardInterrupt, click.exceptions.Abort):
        write("\ninterrupted; the same command goes on: what was sent is kept for a week", err=True)
        raise
    version = data.get(data_set.name, manifest["version"], project=place)
    write(f"{version}: {_files(version)}")
    if version.classes:
        write(_classes(version))


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Any]:
    """Progress bar in a terminal, or a line every ten seconds."""
    from ..storage.fs.file_info import size_text
    from ..storage.fs.transfer import Bar

    if is_terminal(sys.stderr):
        with Bar(title, 1_000_000) as bar:
            yield bar
        return
    last = time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > LINE_SECONDS:
            last = time.monotonic()
            write(f"{title}: {size_text(done)} of {size_text(total)}", err=True)

    yield line


@data_command.command("ls")
@click.argument("name", required=False, type=DATA_SET)
@as_json
@project_option
def ls(place: str | None, name: str | None, is_json: bool) -> None:
    """List data sets, or the versions of one."""
    from .. import data
    from ..storage.fs.file_info import size_text

    if name is not None:
        versions = data.versions(name, project=place)
        if is_json:
            write_json([_facts(version) for version in versions])
        elif not versions:
            write(f"{name} has no version; {command(f'data upload {name} PATH')} makes one", err=True)
        else:
            rows = [
                [str(v.version), str(v.num_files), size_text(v.size), local_time(v.created_at), v.description or ""]
                for v in versions
            ]
            write_table(["version", "files", "size", "uploaded", "description"], rows, elastic=["description"])
        return
    data_sets = data.ls(project=place)
    if is_json:
        write_json(
            [
                {
                    "name": data_set.name,
                    "description": data_set.description,
                    "versions": list(data_set.versions),
                    "newest": _facts(data_set.newest) if data_set.newest else None,
                }
                for data_set in data_sets
            ]
        )
    elif not data_sets:
        write(f"{home(place).shown}: it has no data sets yet; {command('data create NAME')} creates one", err=True)
    else:
        write_table(
            ["name", "versions", "newest", "files", "size", "uploaded", "description"],
            [
                [
                    data_set.name,
                    str(len(data_set.versions)),
                    str(newest.version) if (newest := data_set.newest) else "",
                    str(newest.num_files) if newest else "",
                    size_text(newest.size) if newest else "",
                    local_time(newest.created_at) if newest else "",
                    data_set.description or "",
                ]
                for data_set in data_sets
            ],
            elastic=["name", "description"],
            last=["uploaded", "versions"],
        )


@data_command.command("show")
@click.argument("name", metavar="NAME[/VERSION]", type=DATA_SET)
@click.option("-a", "--all", "is_all", is_flag=True, help=f"All files, not only {FILES}.")
@click.option("--sheet", metavar="FILE.png", help="Draw a contact sheet: some images of each class.")
@as_json
@project_option
def show(place: str | None, name: str, is_all: bool, sheet: str | None, is_json: bool) -> None:
    """Show a version: its files, their sizes, its classes, and the runs that used it.

    Classes are folders train/CLASS/ (and val/, test/).
    """
    from .. import data

    version = data.get(name, project=place)
    uses = data.runs(version.name, version.version, project=place)
    drawn = data.contact_sheet(version.name, version.version, sheet, project=place) if sheet else None
    if is_json:
        write_json(
            {
                **_facts(version),
                "files": version.files,
                "runs": [vars(use) for use in uses],
                **({"contact_sheet": drawn} if drawn else {}),
            }
        )
        return
    click.echo(click.style(plain(f"{version.name} version {version.version}"), bold=True) + f": {_files(version)}")
    write_facts(
        [
            ("input", str(version)),
            ("uploaded", version.created.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")),
            ("by", version.user or ""),
            ("description", version.description or ""),
            ("runs", ", ".join(_use(use) for use in uses[:FILES]) or "none used it yet"),
            ("sheet", drawn or _sheet_hint(version)),
        ]
    )
    if version.classes:
        click.echo()
        write(_classes(version))
    click.echo()
    _write_files(version, is_all)


def _write_files(version: DataVersion, is_all: bool) -> None:
    from ..storage.fs.file_info import size_text

    files = list(version.files.items())
    shown = files if is_all else files[:FILES]
    write_table(["file", "size"], [[file, size_text(facts["size"])] for file, facts in shown], elastic=["file"])
    if len(files) > len(shown):
        click.echo(f"and {len(files) - len(shown)} more; -a shows all")


def _sheet_hint(version: DataVersion) -> str:
    from ..core import extras
    from ..figures.contact_sheet import IMAGES

    if not any(file.lower().endswith(IMAGES) for file in version.files):
        return ""
    if extras.missing(["plots"]):
        return f"needs Pillow: {extras.pip_install(['plots'])}"
    return command(f"data show {version.name}/{version.version} --sheet {version.name}.png")


@data_command.command("download")
@click.argument("name", metavar="NAME[/VERSION]", type=DATA_SET)
@click.option("-o", "--output", metavar="DIR", help="Default: NAME-VERSION here.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@project_option
def download(place: str | None, name: str, output: str | None, force: bool) -> None:
    """Copy a version to a new directory, verified."""
    from ..data import download

    click.echo(download(name, None, output, overwrite=force, project=place))


@data_command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME[/VERSION]...", type=DATA_SET)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also versions that a running run uses; its later trials fail then.")
@project_option
def rm(place: str | None, names: tuple[str, ...], yes: bool, force: bool) -> int:
    """Delete versions, or data sets with all their versions. Numbers are never used again."""
    from .. import data
    from ..driver.data_calls import rm_call
    from ..storage.datasets.references import parse

    named = []
    for name in names:
        reference = parse(name)
        if reference.version is None:
            count = len(data.versions(reference.name, project=place))
            text = f"the data set {reference.name} with {count} version{'s' * (count != 1)}"
        else:
            version = data.get(name, project=place)
            text = f"{reference.name} version {reference.version} ({_files(version)})"
        uses = data.runs(name, project=place)
        used = f", used by {', '.join(_use(use) for use in uses[:5])}" + ("…" if len(uses) > 5 else "") if uses else ""
        named.append(f"{text}{used}")
    if not yes:
        for line in named:
            write(line, err=True)
        if not agreed(f"Delete {'this' if len(named) == 1 else 'these'} for good?"):
            click.echo("nothing deleted", err=True)
            return 1
    for line, name in zip(named, names, strict=True):
        kept = rm_call(name, None, force, place)
        write(f"deleted {line}")
        if kept:
            write(f"note: {kept}", err=True)
    return 0


def _facts(version: DataVersion) -> dict[str, Any]:
    names = ("name", "version", "num_files", "size", "classes", "fingerprint", "description", "user", "created_at")
    return {"input": str(version), **{name: getattr(version, name) for name in names}}


def _files(version: DataVersion) -> str:
    from ..storage.fs.file_info import size_text

    return f"{version.num_files} file{'s' * (version.num_files != 1)}, {size_text(version.size)}"


def _use(use: DataUse) -> str:
    return f"{use.run_name}/{use.run_version} ({use.state}, {use.run_id})"


def _classes(version: DataVersion) -> str:
    """A line per split: `train: 2 classes, 300 files: rose 100, tulip 200`."""
    lines = []
    for split, counts in version.classes.items():
        some = [f"{name} {count}" for name, count in list(counts.items())[:CLASSES]]
        more = f", and {len(counts) - CLASSES} more" if len(counts) > CLASSES else ""
        number = f"{len(counts)} class{'es' * (len(counts) != 1)}"
        lines.append(f"  {split}: {number}, {sum(counts.values())} files: {', '.join(some)}{more}")
    return "\n".join(lines)
