"""For docs/migrating.md: the table of HopsML's and Maggy's names, made from `hopslite.predecessors`.

`python docs/hooks/names.py` writes it into the page; a test says when that has to be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from hopslite.predecessors import HOPSML, MAGGY, Module, Name

PAGE = Path(__file__).resolve().parents[1] / "migrating.md"
BEGIN, END = "<!-- names: made by docs/hooks/names.py -->\n", "<!-- end of names -->\n"
HEAD = "| module | | names | what to know |\n|---|---|---|---|\n"


def with_names(page: str) -> str:
    """The page with the tables as they have to be."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{_section('HopsML', HOPSML)}\n{_section('Maggy', MAGGY)}\n{END}{after}"


def _section(title: str, modules: Iterable[Module]) -> str:
    rows = "".join(f"{row}\n" for module in modules for row in _rows(module))
    return f"### {title}\n\n{HEAD}{rows}"


def _rows(module: Module) -> Iterator[str]:
    shown = f"`{module.old}`"
    for (status, note), names in groupby(module.names(), key=lambda name: (name.status, name.note)):
        listed = ", ".join(_shown(name, module) for name in names)
        yield f"| {shown} | {status.value} | {listed} | {note} |"
        shown = ""


def _shown(name: Name, module: Module) -> str:
    """A name, with the place where it is now if that is not the module's."""
    is_elsewhere = name.now != f"{module.now}.{name.name}" and name.status.value != "gone"
    return f"`{name.name}` (`{name.now}`)" if is_elsewhere else f"`{name.name}`"


if __name__ == "__main__":
    PAGE.write_text(with_names(PAGE.read_text()))
