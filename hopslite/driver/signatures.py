"""Verbs with the keywords that they share: in their signatures, in their docstrings, and in errors about a call."""

from __future__ import annotations

import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast, get_args

from ..core.suggestions import nearest
from ..errors import HopsliteError, InvalidArguments, RunInterrupted
from ..predecessors import current_keywords
from .declarations import Keyword, declarations
from .interrupts import show_in_one_line
from .keywords import MemberOptions, SearchOptions

__all__ = ["documented", "keywords_of", "unknown_keywords", "with_options"]

WIDTH = 120  # of docstrings

# keywords that mean the same in searches and in distributed verbs, either way
COUNTERPARTS = {
    "cpus_per_trial": "cpus_per_worker",
    "gpus_per_trial": "gpus_per_worker",
    "workers_per_trial": "num_workers",
}
COUNTERPARTS |= {theirs: ours for ours, theirs in COUNTERPARTS.items()}

F = TypeVar("F", bound=Callable[..., Any])


def with_options(kind: type, see: Callable[..., Any] | None = None, package: str = "experiment") -> Callable[[F], F]:
    """Make a verb of a function with `**options`.

    The keywords of `kind` are in its signature and its docstring, and errors show no frames of hopslite.

    Args:
        see: a verb whose docstring has keywords that this one need not repeat.
        package: where it is, for messages.
    """

    def decorate(verb: F) -> F:
        own = inspect.signature(verb)
        names = list(own.parameters)

        @functools.wraps(verb)
        def called(*args: Any, **keywords: Any) -> Any:
            try:
                keywords = current_keywords(verb.__name__, names[: len(args)], keywords)
                _check_call(called, own, args, keywords, package)
                return verb(*args, **keywords)
            except HopsliteError as error:  # its message says all; a fault of ours is no such error
                if isinstance(error, RunInterrupted):
                    show_in_one_line()
                raise error.with_traceback(None)  # noqa: B904 - it is the same one
            except KeyboardInterrupt:
                show_in_one_line()
                raise _interrupted(f"{package}.{verb.__name__}()") from None

        declared = declarations(kind)
        kept = [parameter for parameter in own.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
        vars(called).update(
            __signature__=own.replace(parameters=[*kept, *_parameters(kind, declared)]),
            keywords=declared,
        )
        known = keywords_of(see) if see else {}
        shown = {name: keyword.help for name, keyword in declared.items() if name not in (*known, *names)}
        called.__doc__ = documented(verb.__doc__, shown)
        return cast(F, called)

    return decorate


def keywords_of(verb: Callable[..., Any]) -> Mapping[str, Keyword]:
    """The declared keywords that a verb takes as `**options`."""
    keywords: Mapping[str, Keyword] = vars(verb)["keywords"]
    return keywords


def _parameters(kind: type, declared: Mapping[str, Keyword]) -> list[inspect.Parameter]:
    """Keyword-only parameters with the declared types and defaults."""
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=keyword.default,
            annotation=get_args(kind.__annotations__[name])[0],
        )
        for name, keyword in declared.items()
    ]


def documented(docstring: str | None, helps: Mapping[str, str]) -> str | None:
    """A docstring whose section of arguments ends with these keywords."""
    if docstring is None or not helps:  # under `python -OO`
        return docstring
    text = inspect.cleandoc(docstring)
    entries = [
        textwrap.fill(
            f"{name}: {help_text}", WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False
        )
        for name, help_text in helps.items()
    ]
    section = re.search(r"^Args:\n(?:[ ]+\S.*\n?)*", text, re.MULTILINE)
    if section is None:
        return "\n".join([text, "", "Args:", *entries])
    return "\n".join([text[: section.end()].rstrip("\n"), *entries]) + text[section.end() - 1 :]


def _interrupted(call: str) -> RunInterrupted:
    return RunInterrupted(
        f"{call} was interrupted before its trials had begun",
        run_id=None,
        logdir=None,
        result=None,
    )


def _check_call(
    verb: Callable[..., Any], own: inspect.Signature, args: Any, keywords: dict[str, Any], package: str
) -> None:
    """Refuse a call that Python itself would, with the keywords that were meant.

    Raises:
        InvalidArguments: an argument is missing, or there are too many.
    """
    try:
        own.bind(*args, **keywords)
    except TypeError as error:
        unknown = unknown_keywords(verb, keywords)
        raise InvalidArguments(f"{package}.{verb.__name__}()", [str(error), *unknown]) from None


def unknown_keywords(verb: Callable[..., Any], names: Iterable[str]) -> list[str]:
    """Messages about the keywords that a verb does not take."""
    known = inspect.signature(verb).parameters
    return [_unknown_keyword(name, known) for name in names if name not in known]


def _unknown_keyword(name: str, known: Iterable[str]) -> str:
    for kind, users in ((SearchOptions, "searches"), (MemberOptions, "distributed training")):
        if name in declarations(kind):
            hint = f"use {COUNTERPARTS[name]}" if name in COUNTERPARTS else "leave it out"
            return f"unknown keyword {name}, which is for {users}; {hint}"
    near = nearest(name, known)
    if near is None and nearest(name, ["num_trials"]):
        return f"unknown keyword {name}; the number of trials follows from the other arguments here; leave it out"
    hint = f"did you mean {near}?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown keyword {name}; {hint}"
