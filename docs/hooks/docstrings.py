"""For the reference: what reading the source alone does not show, and examples as code."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import griffe

from hopslite.driver import keywords
from hopslite.driver.declarations import declarations
from hopslite.driver.signatures import documented

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
    """Show `hopslite.report`, which is imported from `hopslite.executor.report`, and `inputs` likewise."""
    for name in map(str, package.exports or ()):
        member = package.members.get(name)
        if isinstance(member, griffe.Alias) and member.target_path == f"{package.path}.executor.{name}.{name}":
            home = package["executor"][name]
            target = home[name]
            if target.docstring is None:  # an object: use the docstring of its class
                target.docstring = home[str(target.value).partition("(")[0]].docstring
            package.set_member(name, griffe.Alias(name, target))


def is_page(module: object) -> bool:
    """True for a module that has a page: one of those that users import."""
    if not isinstance(module, griffe.Module) or module.path.count(".") != 1:
        return False
    return module.name in {*map(str, module.package.exports or ()), "result", "search"}


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
    """Replace `**options: Unpack[…]` by the keywords that are declared in `driver.keywords`, with their help."""
    last = next(reversed(list(function.parameters)), None)
    if last is None or not str(last.annotation).startswith("Unpack["):
        return
    del function.parameters[last.name]
    kind = str(last.annotation)[len("Unpack[") : -1]
    types = function.package["driver"]["keywords"][kind].attributes
    own = {parameter.name for parameter in function.parameters}
    declared = {name: it for name, it in declarations(getattr(keywords, kind)).items() if name not in own}
    for name, keyword in declared.items():
        annotation = types[name].annotation.slice.elements[0]  # of Annotated[type, Keyword(…)]
        parameter = griffe.ParameterKind.keyword_only
        function.parameters.add(
            griffe.Parameter(name, annotation=annotation, kind=parameter, default=repr(keyword.default))
        )
    if function.docstring:
        known = {parameter.name for parameter in seen_before(function)}
        helps = {name: keyword.help for name, keyword in declared.items() if name not in known}
        function.docstring.value = documented(function.docstring.value, helps) or ""


def seen_before(function: griffe.Function) -> list[griffe.Parameter]:
    """The parameters of the verb in `@with_options(…, see=verb)`, which is above this one."""
    arguments = [argument for decorator in function.decorators for argument in decorator.value.arguments]
    named = [argument for argument in arguments if isinstance(argument, griffe.ExprKeyword)]
    verbs = [argument.value for argument in named if argument.name == "see"]
    return [parameter for verb in verbs for parameter in function.parent[str(verb)].parameters]


def as_code(example: re.Match[str]) -> str:
    return f"```pycon\n{textwrap.dedent(example[0])}\n```"


def one_by_one(several: re.Match[str]) -> str:
    """`started, duration: …` in a list of arguments or attributes."""
    return "\n".join(f"{several['indent']}{name}{several['text']}" for name in several["names"].split(", "))
