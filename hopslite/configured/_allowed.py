"""The names that a configuration may use, and what they stand for.

A configuration may come from the network, so a name is allowed by its namespace, and not by what is known to be
harmful: of Keras the namespaces of parts of models and trainings, of hopslite the public names of this package. Within
them, objects that read code or write outside of the trial's directory are left out. Other packages are allowed by the
user, who then trusts every public class and function that is defined in them.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping

from ..core.suggestions import did_you_mean

__all__ = ["ALIASES", "NAMESPACES", "Names", "OWN", "Target", "is_dotted"]

OWN = {  # public name: module and attribute
    "hopslite.configured.OneHeadNet": ("hopslite.configured.models", "OneHeadNet"),
    "hopslite.configured.KerasTrainLoop": ("hopslite.configured.loops", "KerasTrainLoop"),
    "hopslite.configured.CustomTrainLoop": ("hopslite.configured.loops", "CustomTrainLoop"),
    "hopslite.configured.datasets.arrays": ("hopslite.configured.datasets", "arrays"),
    "hopslite.configured.datasets.digits": ("hopslite.configured.datasets", "digits"),
    "hopslite.configured.datasets.image_folder": ("hopslite.configured.datasets", "image_folder"),
    "hopslite.configured.datasets.tfrecords": ("hopslite.configured.datasets", "tfrecords"),
}
ALIASES = {  # ktf's names
    "ktf.models.OneHeadNet": "hopslite.configured.OneHeadNet",
    "ktf.train.KerasTrainLoop": "hopslite.configured.KerasTrainLoop",
    "ktf.train.CustomTrainLoop": "hopslite.configured.CustomTrainLoop",
    "ktf.train.loops.KerasTrainLoop": "hopslite.configured.KerasTrainLoop",
    "ktf.train.loops.CustomTrainLoop": "hopslite.configured.CustomTrainLoop",
}
_LEFT_OUT = frozenset(["deserialize", "serialize", "get", "from_config"])  # they build anything from data
NAMESPACES: dict[str, frozenset[str]] = {  # of Keras, with the names that are left out
    "keras": frozenset(),
    "keras.activations": _LEFT_OUT,
    "keras.applications": frozenset(),
    "keras.callbacks": frozenset(),
    "keras.constraints": _LEFT_OUT,
    "keras.dtype_policies": _LEFT_OUT,
    "keras.initializers": _LEFT_OUT,
    # Lambda's code is pickled, a SavedModel and the layers of other frameworks are programs
    "keras.layers": _LEFT_OUT | {"Lambda", "TFSMLayer", "TorchModuleWrapper", "FlaxLayer", "JaxLayer"},
    "keras.losses": _LEFT_OUT,
    "keras.metrics": _LEFT_OUT,
    "keras.optimizers": _LEFT_OUT,
    "keras.optimizers.schedules": _LEFT_OUT,
    "keras.random": frozenset(),
    "keras.regularizers": _LEFT_OUT,
}
ONLY = {  # the names of namespaces of which only some are allowed
    "keras": frozenset(["Input", "Model", "Sequential"]),
    "keras.callbacks": frozenset(
        [
            "BackupAndRestore", "CSVLogger", "EarlyStopping", "LearningRateScheduler", "ModelCheckpoint",
            "ReduceLROnPlateau", "SwapEMAWeights", "TensorBoard", "TerminateOnNaN",
        ]
    ),
    "keras.random": frozenset(["SeedGenerator"]),
}  # fmt: skip
_SPELLINGS = {  # other places of the same names
    "tensorflow.": "tf.",
    "tf.keras.": "keras.",
    "keras.models.Sequential": "keras.Sequential",
    "keras.models.Model": "keras.Model",
    "keras.layers.Input": "keras.Input",
    "tf.losses.": "keras.losses.",
    "tf.metrics.": "keras.metrics.",
    "tf.optimizers.": "keras.optimizers.",
    "tf.initializers.": "keras.initializers.",
}
TF_NAMESPACES = ("tf.nn",)
BUILT_IN = ("tf", "keras", "hopslite", "ktf")


@dataclasses.dataclass(frozen=True)
class Target:
    """The object that a name stands for.

    Attributes:
        name: its name after aliases, such as `keras.layers.Dense`.
        module, attribute: where it is; the module is empty for an exported object.
        package: the package to which the object's own module must belong; empty for an exported object.
        is_own: whether it belongs to the user: exported, or of a package that the user allows.
    """

    name: str
    module: str
    attribute: str
    package: str
    is_own: bool = False


@dataclasses.dataclass(frozen=True)
class Names:
    """The names that one configuration may use.

    Attributes:
        allow: packages of the user's choice, or modules of them.
        exported: the bare names of exported objects.
        known: the public names of a namespace of Keras as it is installed; None if that is not known here.
    """

    allow: tuple[str, ...] = ()
    exported: Mapping[str, object] = dataclasses.field(default_factory=dict)
    known: Callable[[str], Iterable[str] | None] = lambda namespace: None

    def target(self, name: str) -> Target | str:
        """The object that a name stands for, or why it is not allowed."""
        if name in self.exported:
            return Target(name, "", name, "", is_own=True)
        if not is_dotted(name):
            hint = did_you_mean(name, self.exported) or self._nearest(name)
            hint = f"; {hint}" if hint else ""
            listed = f"; exported: {', '.join(self.exported) or 'none'}"
            return f"no class or function {name!r} is exported{hint or listed}"
        written, name = name, self._canonical(name)
        if hidden := [part for part in name.split(".") if part.startswith("_")]:
            return f"{written!r} is not allowed: {hidden[0]} is private"
        for package in self.allow:
            if f"{name}.".startswith(f"{package}."):
                module, _, attribute = name.rpartition(".")
                return Target(name, module, attribute, package.partition(".")[0], is_own=True)
        if name in OWN:
            return Target(name, *OWN[name], "hopslite")
        return self._of_framework(written, name)

    def _canonical(self, name: str) -> str:
        for spelling, canonical in _SPELLINGS.items():
            if name == spelling or (spelling.endswith(".") and name.startswith(spelling)):
                name = canonical + name[len(spelling) :]
        return ALIASES.get(name, name)

    def _of_framework(self, written: str, name: str) -> Target | str:
        if written.startswith("tensorflow."):
            written = written.replace("tensorflow.", "tf.", 1)
        namespace, _, attribute = name.rpartition(".")
        if namespace in TF_NAMESPACES:
            return Target(name, namespace.replace("tf", "tensorflow", 1), attribute, "tensorflow")
        if namespace.startswith("keras.applications.") and namespace.count(".") == 2:  # keras.applications.vgg16.VGG16
            return Target(name, namespace, attribute, "keras")
        if namespace not in NAMESPACES or attribute in NAMESPACES[namespace]:
            return self._not_allowed(written, name)
        if attribute not in ONLY.get(namespace, {attribute}):
            return self._not_allowed(written, name)
        known = self.known(namespace)
        if known is not None and attribute not in known:
            hint = self._nearest(name)
            return f"the installed Keras has no {written!r}; {hint}" if hint else f"Keras has no {written!r}"
        return Target(name, namespace, attribute, "keras")

    def _not_allowed(self, written: str, name: str) -> str:
        root = written.partition(".")[0]
        hint = self._nearest(name)
        hint = f"; {hint}" if hint else ""
        if root == "hopslite":
            return f"{written!r} is not allowed{hint}; allowed: {', '.join(OWN)}"
        if root == "ktf":
            package, allowed = "ktf", f"ktf's names that hopslite has: {', '.join(sorted(ALIASES))}"
        elif root in BUILT_IN:
            package, allowed = name, f"allowed: {_shown_namespaces()}"
        else:
            package, allowed = root, f"allowed packages: {', '.join([*BUILT_IN, *self.allow])}"
        return (
            f"{written!r} is not allowed{hint}; {allowed}. If you trust who wrote the configuration, "
            f"--allow {package} (allow=[{package!r}]) allows it"
        )

    def _nearest(self, name: str) -> str:
        """A hint with the nearest allowed name: the same or a similar last part in any namespace."""
        candidates = self._all_names()
        last = name.rpartition(".")[2]
        same = [candidate for candidate in candidates if candidate.rpartition(".")[2].lower() == last.lower()]
        if same:
            return f"did you mean {same[0]!r}?"
        by_last = {candidate.rpartition(".")[2]: candidate for candidate in reversed(candidates)}
        similar = difflib.get_close_matches(last, by_last, 1)
        return f"did you mean {by_last[similar[0]]!r}?" if similar else ""

    def _all_names(self) -> list[str]:
        names = [*OWN]
        for namespace, left_out in NAMESPACES.items():
            public = ONLY.get(namespace) or self.known(namespace) or ()
            names += [f"{namespace}.{name}" for name in sorted(public) if name not in left_out]
        return names


def is_dotted(name: str) -> bool:
    """True if a text has the form of a name with its package: `keras.layers.Dense`."""
    parts = name.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def _shown_namespaces() -> str:
    parts = ", ".join(namespace.removeprefix("keras.") for namespace in NAMESPACES if namespace != "keras")
    return f"keras.{{{', '.join(sorted(ONLY['keras']))}, {parts}}}, {', '.join(TF_NAMESPACES)}"
