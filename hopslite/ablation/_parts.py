"""What a study is made of: named things to leave out, one by one or in groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import InvalidArguments

__all__ = ["Components", "Features", "Group", "Layers", "Model", "NOTHING"]

NOTHING = "None"  # what is recorded as left out in the trial that leaves out nothing


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Things that are left out together: those of these names, or, with a `prefix`, those whose names begin so."""

    names: tuple[str, ...] = ()
    prefix: str | None = None

    def label(self, what: str) -> str:
        """How the record names it, in Maggy's words."""
        return f"{what.capitalize()}s prefixed {self.prefix}" if self.prefix is not None else str(list(self.names))

    def members(self, known: Iterable[str]) -> list[str]:
        """Who of the known names belongs to it; a prefix is compared without regard to case, as in Maggy."""
        if self.prefix is None:
            return [name for name in known if name in self.names]
        return [name for name in known if name.lower().startswith(self.prefix.lower())]


class _Names:
    """Names in the order in which they were included, each once."""

    WHAT = ""
    PLACE = ""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    @property
    def included(self) -> tuple[str, ...]:
        return tuple(self._names)

    def include(self, *names: Any) -> None:
        """Add names, one by one or in lists: each makes one trial, which leaves it out."""
        self._names.update(dict.fromkeys(self._flat("include", names)))

    def exclude(self, *names: Any) -> None:
        """Take names out again."""
        given = self._flat("exclude", names)
        unknown = [name for name in given if name not in self._names]
        if unknown:
            raise InvalidArguments(
                f"{self.PLACE}.exclude()",
                [f"not included: {', '.join(unknown)}; included are {', '.join(self._names) or 'none'}"],
            )
        for name in given:
            self._names.pop(name, None)

    def _flat(self, method: str, given: Iterable[Any]) -> list[str]:
        names = [
            name for each in given for name in (each if isinstance(each, (list, tuple, set, frozenset)) else [each])
        ]
        wrong = [f"{name!r} is of type {type(name).__name__}" for name in names if not isinstance(name, str)]
        wrong += [f"{name!r} cannot be a name" for name in names if name in ("", NOTHING)]
        if wrong:
            raise InvalidArguments(f"{self.PLACE}.{method}()", [f"{'; '.join(wrong)}; give names, or lists of names"])
        return names

    def list_all(self) -> None:
        """Print what is included, one name a line."""
        for name in self._names:
            print(name)  # noqa: T201 - what the method is for

    def print_all(self) -> None:
        """Print what is included."""
        lines = [f"Included {self.WHAT}s:", *self._names] if self._names else [f"No {self.WHAT}s are included."]
        print("\n".join(lines))  # noqa: T201


class _Grouped(_Names):
    """Names, and groups of names."""

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[Group, None] = {}

    @property
    def groups(self) -> tuple[Group, ...]:
        return tuple(self._groups)

    def include_groups(self, *groups: Any, prefix: str | None = None) -> None:
        """Add groups: each list of names makes one trial, which leaves out all of them; so does a prefix."""
        self._groups.update(dict.fromkeys(self._made("include_groups", groups, prefix)))

    def exclude_groups(self, *groups: Any, prefix: str | None = None) -> None:
        """Take groups out again; the order of their names does not matter."""
        for group in self._made("exclude_groups", groups, prefix):
            same = [g for g in self._groups if g.prefix == group.prefix and set(g.names) == set(group.names)]
            if not same:
                label = group.label(self.WHAT)
                raise InvalidArguments(f"{self.PLACE}.exclude_groups()", [f"not included: {label}"])
            for found in same:
                del self._groups[found]

    def _made(self, method: str, groups: Iterable[Any], prefix: Any) -> list[Group]:
        where = f"{self.PLACE}.{method}()"
        made = []
        for given in groups:
            if not isinstance(given, (list, tuple, set, frozenset)):
                hint = f"; for a prefix say prefix={given!r}" if isinstance(given, str) else ""
                raise InvalidArguments(where, [f"given {given!r}; a group is a list of names{hint}"])
            names = self._flat(method, sorted(given) if isinstance(given, (set, frozenset)) else given)
            if len(set(names)) < 2:
                raise InvalidArguments(where, [f"given {given!r}; a group has several names, use include() for one"])
            made.append(Group(tuple(dict.fromkeys(names))))
        if prefix is not None:
            if not isinstance(prefix, str) or not prefix:
                raise InvalidArguments(where, [f"prefix={prefix!r}; give a text that is not empty"])
            made.append(Group(prefix=prefix))
        return made

    def print_all_groups(self) -> None:
        """Print the groups that are included."""
        labels = [group.label(self.WHAT) for group in self._groups]
        lines = [f"Included groups of {self.WHAT}s:", *labels] if labels else [f"No {self.WHAT} groups are included."]
        print("\n".join(lines))  # noqa: T201


class Features(_Names):
    """The features of the dataset that are left out, one by one."""

    WHAT = "feature"
    PLACE = "features"


class Layers(_Grouped):
    """The layers of the base model that are left out."""

    WHAT = "layer"
    PLACE = "layers"


class Components(_Grouped):
    """Anything by name; each is left out once, and so is each group."""

    WHAT = "component"
    PLACE = "components"

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}

    def include(self, *components: Any, **named: Any) -> None:
        """Add components by name: `include(dropout=0.5)`, or `include({"dropout": 0.5})`."""
        given: dict[Any, Any] = {}
        for mapping in components:
            if not isinstance(mapping, Mapping):
                raise InvalidArguments("components.include()", [f"given {mapping!r}; give name=value, or a dict"])
            given.update(mapping)
        given.update(named)
        super().include(*given)
        self.values.update(given)

    def exclude(self, *names: Any) -> None:
        """Take components out of the study; the training function no longer gets them."""
        super().exclude(*names)
        for name in self._flat("exclude", names):
            self.values.pop(name, None)


class Model:
    """The model whose layers are left out, and models to compare it with."""

    def __init__(self) -> None:
        self.layers = Layers()
        self.base_model_generator: Callable[..., Any] | None = None
        self.custom_model_generators: list[tuple[Callable[..., Any], str]] = []

    def set_base_model_generator(self, base_model_generator: Callable[..., Any]) -> None:
        """The function that builds the whole model; it runs in the trials, so it imports what it needs."""
        self.base_model_generator = _callable("set_base_model_generator", base_model_generator)

    def add_custom_model_generator(self, custom_model_generator: Callable[..., Any], model_identifier: str) -> None:
        """A function that builds another model, for one more trial, and its name in the ranking."""
        fn = _callable("add_custom_model_generator", custom_model_generator)
        if not isinstance(model_identifier, str) or not model_identifier:
            raise InvalidArguments(
                "model.add_custom_model_generator()", [f"model_identifier={model_identifier!r}; give a text"]
            )
        self.custom_model_generators.append((fn, model_identifier))


def _callable(method: str, fn: Any) -> Callable[..., Any]:
    if not callable(fn):
        raise InvalidArguments(f"model.{method}()", [f"given {fn!r}; give the function that builds the model"])
    made: Callable[..., Any] = fn
    return made
