"""Parts of an ablation study: named items to leave out, one by one or in groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import InvalidArguments

__all__ = ["Components", "Features", "Group", "Layers", "Model", "NOTHING"]

NOTHING = "None"  # recorded for the trial that leaves out nothing


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Items that are left out together: by name or, with a `prefix`, by the beginning of their names."""

    names: tuple[str, ...] = ()
    prefix: str | None = None

    def label(self, kind: str) -> str:
        """Name in the record, as in Maggy."""
        return f"{kind.capitalize()}s prefixed {self.prefix}" if self.prefix is not None else str(list(self.names))

    def members(self, known: Iterable[str]) -> list[str]:
        """The known names that belong to the group; a prefix is compared without regard to case, as in Maggy."""
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
        """Add names, one by one or in lists. For each of them, one trial leaves it out."""
        self._names.update(dict.fromkeys(self._flat("include", names)))

    def exclude(self, *names: Any) -> None:
        """Remove names that were added."""
        excluded = self._flat("exclude", names)
        unknown = [name for name in excluded if name not in self._names]
        if unknown:
            raise InvalidArguments(
                f"{self.PLACE}.exclude()",
                [f"not included: {', '.join(unknown)}; included are {', '.join(self._names) or 'none'}"],
            )
        for name in excluded:
            self._names.pop(name, None)

    def _flat(self, method: str, arguments: Iterable[Any]) -> list[str]:
        names = [
            name
            for argument in arguments
            for name in (argument if isinstance(argument, (list, tuple, set, frozenset)) else [argument])
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
        """Add groups: for each list of names, one trial leaves out all of them; likewise for a prefix."""
        self._groups.update(dict.fromkeys(self._made("include_groups", groups, prefix)))

    def exclude_groups(self, *groups: Any, prefix: str | None = None) -> None:
        """Remove groups that were added; the order of their names does not matter."""
        for group in self._made("exclude_groups", groups, prefix):
            same = [g for g in self._groups if g.prefix == group.prefix and set(g.names) == set(group.names)]
            if not same:
                label = group.label(self.WHAT)
                raise InvalidArguments(f"{self.PLACE}.exclude_groups()", [f"not included: {label}"])
            for equal in same:
                del self._groups[equal]

    def _made(self, method: str, groups: Iterable[Any], prefix: Any) -> list[Group]:
        where = f"{self.PLACE}.{method}()"
        made = []
        for group in groups:
            if not isinstance(group, (list, tuple, set, frozenset)):
                hint = f"; for a prefix give prefix={group!r}" if isinstance(group, str) else ""
                raise InvalidArguments(where, [f"given {group!r}; a group is a list of names{hint}"])
            names = self._flat(method, sorted(group) if isinstance(group, (set, frozenset)) else group)
            if len(set(names)) < 2:
                raise InvalidArguments(where, [f"given {group!r}; a group has several names, use include() for one"])
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
    """Values of any type by name; each component and each group is left out once."""

    WHAT = "component"
    PLACE = "components"

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}

    def include(self, *components: Any, **named: Any) -> None:
        """Add components by name: `include(dropout=0.5)`, or `include({"dropout": 0.5})`."""
        added: dict[Any, Any] = {}
        for mapping in components:
            if not isinstance(mapping, Mapping):
                raise InvalidArguments("components.include()", [f"given {mapping!r}; give name=value, or a dict"])
            added.update(mapping)
        added.update(named)
        super().include(*added)
        self.values.update(added)

    def exclude(self, *names: Any) -> None:
        """Remove components from the study; the training function no longer gets them."""
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
        """Add a trial with another model: the function that builds it, and its name in the ranking."""
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
