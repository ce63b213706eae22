"""For the reference: what reading the source alone does not show, and examples as code."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import griffe

SEVERAL = re.compile(r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+)(?P<text>: .*(?:\n(?P=indent) +\S.*)*)", re.MULTILINE)
EXAMPLE = re.compile(r"^ *>>> .*(?:\n *\S.*)*", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Works on the package as it has been read, before a page asks for anything."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        lazy_names(pkg)
        for module in pkg.modules.values():
            if is_page(module):
                in_order(module)
                other_names(module)
        for found in objects(pkg):
            if isinstance(found, griffe.Function):
                shared_keywords(found)
            if found.docstring:
                found.docstring.value = EXAMPLE.sub(as_code, SEVERAL.sub(one_by_one, found.docstring.value))


def objects(parent: griffe.Object) -> Iterator[griffe.Object]:
    """All modules, classes, functions and attributes in one, itself included, where they are defined."""
    yield parent
    for member in parent.members.values():
        if isinstance(member, griffe.Object):
            yield from objects(member)


def lazy_names(package: griffe.Module) -> None:
    """`hopslite.__getattr__` makes `hopslite.report` of `hopslite.runtime.report.report`, and `inputs` likewise."""
    for name in map(str, package.exports or ()):
        if name not in package.members:
            home = package["runtime"][name]
            found = home[name]
            if found.docstring is None:  # an object: what its class says
                found.docstring = home[str(found.value).partition("(")[0]].docstring
            package.set_member(name, griffe.Alias(name, found))


def is_page(module: object) -> bool:
    return isinstance(module, griffe.Module) and module.path.count(".") == 1 and module.is_public


def other_names(module: griffe.Module) -> None:
    """What is another name for something with a place of its own says so, and is not described twice."""
    for name in map(str, module.exports or ()):
        given = module.members[name]
        found = given.final_target if isinstance(given, griffe.Alias) else given
        value = str(found.value) if isinstance(found, griffe.Attribute) else ""
        if given is not found and is_page(found.parent):
            value = found.path
        if value in module.members:
            about = f"Another name for [`{value}`][{module.path}.{value}]."
        elif value == found.path:
            about = f"Another name for [`{value}`][]."
        elif value and not found.docstring:
            about = f"Stands for `{value}`."
        else:
            continue
        other = griffe.Attribute(name, value=value, lineno=place(given)[1], parent=module)
        other.docstring = griffe.Docstring(about, parent=other)
        module.set_member(name, other)


def in_order(module: griffe.Module) -> None:
    """What a module defines comes first, in the order of its source, and then what it has from others."""
    names = [str(name) for name in module.exports or ()]
    module.exports = [*sorted(names, key=lambda name: place(module.members[name]))]


def place(found: griffe.Object | griffe.Alias) -> tuple[bool, int]:
    imported = isinstance(found, griffe.Alias)
    return imported, (found.alias_lineno if isinstance(found, griffe.Alias) else found.lineno) or 0


def shared_keywords(function: griffe.Function) -> None:
    """`**options: Unpack[…]` becomes the keywords that it stands for, with the defaults of `_options.Options`."""
    last = next(reversed(list(function.parameters)), None)
    if last is None or not str(last.annotation).startswith("Unpack["):
        return
    options = function.package["_options"]
    del function.parameters[last.name]
    given = options[str(last.annotation)[len("Unpack[") : -1]]
    keywords = {name: keyword for each in (given, *given.mro()) for name, keyword in each.attributes.items()}
    known = {parameter.name for parameter in function.parameters}
    for name, keyword in keywords.items():
        if name not in known:
            kind, default = griffe.ParameterKind.keyword_only, options["Options"][name].value
            function.parameters.add(griffe.Parameter(name, annotation=keyword.annotation, kind=kind, default=default))


def as_code(example: re.Match[str]) -> str:
    return f"```pycon\n{textwrap.dedent(example[0])}\n```"


def one_by_one(several: re.Match[str]) -> str:
    """`started, duration: …` in a list of arguments or attributes."""
    return "\n".join(f"{several['indent']}{name}{several['text']}" for name in several["names"].split(", "))
