"""A keyword that verbs share is declared in one place: signature, docstring, default and check follow."""

# Annotations are evaluated here, as those of `driver.keywords` are.
import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

import pytest

from hopslite import errors, experiment
from hopslite.core.plugins import names
from hopslite.driver import checks, keywords, search_keywords
from hopslite.driver.arguments import Call
from hopslite.driver.declarations import Keyword, declarations
from hopslite.driver.keywords import SearchOptions
from hopslite.driver.options import completed, planned
from hopslite.driver.signatures import with_options

Colour = Literal["red", "blue"]


GOALS = ("target_metric", "no_improvement", "initial_params", "warm_start")


class ColouredOptions(SearchOptions, total=False):
    colour: Annotated[Colour, Keyword("red", "the colour of the curve.", checks.one_of(Colour))]


@with_options(ColouredOptions, see=experiment.launch)
def paint(train_fn: Callable[..., Any], name: str = "no-name", **options: Any) -> Any:
    """Paint a curve.

    Args:
        train_fn: a function.

    Returns:
        The colour.
    """
    call = Call(paint, train_fn, name, options)
    call.raise_if_invalid()
    return call.options


def train() -> None:
    """A training function."""


class TestAKeywordDeclaredInOnePlace:
    def test_is_accepted_and_has_its_default(self) -> None:
        assert paint(train)["colour"] == "red"
        assert paint(train, colour="blue")["colour"] == "blue"

    def test_is_checked_with_all_others(self) -> None:
        with pytest.raises(errors.InvalidArguments) as caught:
            paint(train, colour="green", seed=-1, name="a/b", color="red")
        problems = "\n".join(caught.value.problems)
        for problem in (
            "colour='green'; allowed are 'red' and 'blue'",
            "seed=-1",
            "name='a/b'",
            "did you mean colour?",
        ):
            assert problem in problems
        assert len(caught.value.problems) == 4

    def test_is_in_the_signature(self) -> None:
        parameter = inspect.signature(paint).parameters["colour"]
        assert (parameter.default, parameter.kind.name, parameter.annotation) == ("red", "KEYWORD_ONLY", Colour)

    def test_is_documented_beside_those_that_the_other_verb_has_not(self) -> None:
        section = inspect.getdoc(paint).partition("Args:\n")[2].partition("\n\n")
        described = [line.strip().partition(":")[0] for line in section[0].splitlines() if line[4] != " "]
        assert described == ["train_fn", "stopper", "report_as", "stop_grace", *GOALS, "colour"]
        assert "    colour: the colour of the curve." in section[0]
        assert section[2].startswith("Returns:")


def test_help_is_a_sentence_and_defaults_are_allowed() -> None:
    for name, keyword in declarations(keywords.Options).items():
        assert keyword.help.endswith("."), name
        assert keyword.check(name, keyword.default) == [], name


def test_options_have_the_keywords_of_all_verbs() -> None:
    kinds = [kind for name, kind in vars(keywords).items() if name.endswith("Options")]
    assert len(kinds) == 18
    assert {name for kind in kinds for name in kind.__annotations__} == set(completed({}))


def test_what_is_not_planned_stays_with_the_driver() -> None:
    kept = planned(completed({"spark": object(), "tags": {"a": "b"}, "timeout": 3}))
    assert (kept["tags"], kept["timeout"]) == ({"a": "b"}, 3)
    assert not {"spark", "pool", "display", "project", "tracking_uri", "inputs", "env"} & set(kept)
    assert planned({"timeout": 3}) == {**planned(completed({})), "timeout": 3}  # of a run by an older version


def test_every_verb_documents_or_refers_to_its_keywords() -> None:
    described: set[str] = set()
    for name in ("launch", "grid_search", "distributed", "resume"):
        described |= {
            key
            for key in declarations(keywords.Options)
            if f"\n    {key}: " in inspect.getdoc(getattr(experiment, name))
        }
    assert described == set(declarations(keywords.Options))


def test_stoppers_have_their_names_in_the_type() -> None:
    assert sorted(get_args(search_keywords.StopperName)) == names("stop")


def test_declarations_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        declarations(keywords.Options)["seed"].default = 3  # type: ignore[misc]
