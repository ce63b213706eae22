"""Command as a training function: starts a program once per trial and collects its metrics."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import keyword
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import CommandFailed
from ..executor.context import TrialContext, current
from ..executor.program_folder import unpack
from .event_files import EventFiles
from .metrics import ProgramMetrics
from .mounts import mounted
from .notebook import KERNEL_PYTHON
from .program import Program, Terminated
from .shell_variables import expand
from .virtual_environment import Requirements, interpreter_for

__all__ = ["Argument", "Command", "NOTEBOOK", "PYTHONS", "parameter_name", "text_of"]

SECRET_LENGTH = 6  # characters; what is shorter is a number or a flag
VALUES = ("environment", "typed_with", "left_out")  # attributes of a command that are about its variables
PYTHONS = ("python", "python3")  # an executor's PATH may have any of them
NOTEBOOK = ("python", "-m", "hopslite.programs.notebook")  # the words before a notebook
FIELD = re.compile(r"\{(\w+)\}")


@dataclasses.dataclass(frozen=True)
class Argument:
    """Option of a program's command line, with its words.

    Args:
        words: the words, as they were typed.
        of: the parameter that they give to the program; they are left out where `{name}` in the command does so.
        is_filled: whether `{name}` in them is a parameter's value.
        is_expanded: whether `$NAME` in them is a variable's.
        is_flag: whether they are left out in trials in which the parameter is false.
    """

    words: tuple[str, ...]
    of: str | None = None
    is_filled: bool = True
    is_expanded: bool = True
    is_flag: bool = False


@dataclasses.dataclass(frozen=True)
class Command:
    """Training function that runs a command with a trial's parameters, in a copy of its code's directory.

    Args:
        words: the command; `{name}` in a word is a parameter's value, `$NAME` that of a variable of the program's
            environment. This Python runs a first word that ends in `.py`, and takes the place of another one.
        names: the parameters'.
        code: its directory, as a zip archive.
        environment: more variables; they may hold secrets.
        metric: the name of the optimised metric, or of several; stoppers see one.
        arguments: what comes after the words. Parameters that neither have are appended, as `--name value`.
        texts: for each parameter how its values were written, by their JSON: `1e-3` is another text than `0.001`.
        call_record: JSON form of the call of `hopslite run`, without secrets, to be kept with the run.
        typed_with: the variables of the driver that the words name, for executors that do not have them; may be secret.
        optional: those of the names that some trials do not have, because their conditions do not hold.
        stop_grace: seconds that the program has to save and end after SIGTERM; then it is killed.
        mounts: paths at which inputs are shown to the program, by the inputs' names.
        requirements: packages and Python of the program; None: it runs with the Python of the executors.
        left_out: the names in `environment` and in `typed_with`, of a command that was kept without their values.
    """

    words: tuple[str, ...]
    names: tuple[str, ...]
    code: bytes = dataclasses.field(repr=False)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    metric: str | tuple[str, ...] | None = None
    arguments: tuple[Argument, ...] = ()
    texts: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    call_record: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    typed_with: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    requirements: Requirements | None = None
    left_out: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    optional: tuple[str, ...] = ()
    stop_grace: float = 10.0
    mounts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def __signature__(self) -> inspect.Signature:
        empty = inspect.Parameter.empty
        return inspect.Signature(
            [
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=None if name in self.optional else empty
                )
                for name in self.names
            ]
        )

    @property
    def is_notebook(self) -> bool:
        return self.words[: len(NOTEBOOK)] == NOTEBOOK

    @property
    def program(self) -> str:
        """The program, for messages."""
        return self.words[len(NOTEBOOK) if self.is_notebook else 0]

    @property
    def snapshot_files(self) -> dict[str, bytes]:
        """Files that are kept of the program in the run directory."""
        files = {"command.json": json.dumps(self.call_record, indent=2).encode()} if self.call_record else {}
        files |= self.requirements.snapshot_files if self.requirements else {}
        return {"code.zip": self.code, **files}

    @property
    def described_attributes(self) -> dict[str, Any]:
        """Attributes by which commands are compared; values of variables are never recorded, not even hashed."""
        return {name: value for name, value in vars(self).items() if name not in VALUES}

    def without_values(self) -> Command:
        """Copy of the command without the values of its variables, which may be secret, for the record."""
        return dataclasses.replace(
            self, environment={}, typed_with={}, left_out=(tuple(self.environment), tuple(self.typed_with))
        )

    def with_values(self, environment: Mapping[str, str], others: Mapping[str, str]) -> Command:
        """Copy of a recorded command with the values of its variables restored.

        Raises:
            KeyError: a value is in neither; its argument is the names of all such.
        """
        values = {**others, **environment}
        if missing := [name for names in self.left_out for name in names if name not in values]:
            raise KeyError(tuple(dict.fromkeys(missing)))
        of_program, of_words = ({name: values[name] for name in names} for names in self.left_out)
        return dataclasses.replace(
            self, environment={**self.environment, **of_program, **environment}, typed_with=of_words, left_out=((), ())
        )

    def __call__(self, **params: Any) -> dict[str, float]:
        context = current()
        assert context is not None
        output = os.path.join(context.directory, "output")
        for folder in (output, context.checkpoints):
            os.makedirs(folder, exist_ok=True)
        unpack(self.code, context.program)
        wanted = (self.metric,) if isinstance(self.metric, str) else self.metric or ()
        metrics = ProgramMetrics(wanted[0] if len(wanted) == 1 else None)
        try:
            self._run(params, context, output, metrics)
        except Terminated:  # what it left is there; the process ends as if it had waited for nothing
            signal.raise_signal(signal.SIGTERM)
        if missing := [name for name in wanted if name not in metrics.values]:
            raise CommandFailed(self._missing_metric(missing[0], list(metrics.values)))
        return metrics.values

    def _missing_metric(self, name: str, reported: list[str]) -> str:
        example = json.dumps({"metric": name, "value": 0.5, "step": 1})
        same = [other for other in reported if other.endswith(f"/{name}")]  # of writers of event files
        advice = f"Have it print lines such as {example}, or call mlflow.log_metric"
        if same:
            advice = f"Did you mean {' or '.join(same)}?"
        names = ", ".join(reported) or "none"
        return f"{self.program} has not reported the metric {name!r}; it reported: {names}. {advice}"

    def _run(self, params: Mapping[str, Any], context: TrialContext, output: str, metrics: ProgramMetrics) -> None:
        from .mlflow_stub import MlflowCalls  # not above: drivers, which read plans with commands, need no HTTP server

        environment = self._environment(params, context, output)
        python_for = interpreter_for(self.requirements, environment, {**self.typed_with, **self.environment})
        with MlflowCalls(os.path.join(output, "mlflow")) as calls, python_for as (python, isolated):
            has_own = "MLFLOW_TRACKING_URI" in self.environment  # the driver's is for what hopslite records
            environment = isolated if has_own else calls.environment(isolated)
            events = EventFiles([output, context.program, context.logdir], without=calls.folder)
            line = self._line(params, environment, python)
            environment |= {KERNEL_PYTHON: python} if self.is_notebook and self.requirements else {}
            program = Program(os.path.basename(self.program), line, context.program, environment)
            try:
                with mounted(self.mounts, context.inputs, context.program) as messages:
                    for message in messages:
                        sys.stderr.write(f"{message}\n")
                    program.run(metrics, events, calls, self.stop_grace)
            except CommandFailed as failure:
                raise CommandFailed(self._without_secrets(str(failure))) from None
            finally:
                with contextlib.suppress(OSError):  # it has checkpoints
                    os.rmdir(context.checkpoints)

    def _without_secrets(self, text: str) -> str:
        """Redact values of the program's variables that may be secret in a message, which is recorded."""
        values = {*self.environment.values(), *self.typed_with.values()}
        for value in sorted(values, key=len, reverse=True):
            if len(value) >= SECRET_LENGTH and not value.startswith((os.sep, ".")):  # a path shows what is missing
                text = text.replace(value, "***")
        return text

    def _environment(self, params: Mapping[str, Any], context: TrialContext, output: str) -> dict[str, str]:
        """Environment of the program."""
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            **self.environment,
            **{f"HOPSLITE_INPUT_{name.upper()}": path for name, path in context.inputs.items()},
            "HOPSLITE_CHECKPOINT_DIR": context.checkpoints,
            "HOPSLITE_OUTPUT": output,
            "HOPSLITE_RUN_ID": context.run_id,
            "HOPSLITE_TRIAL_ID": context.trial_id,
        }
        texts = self._texts(params, environment)
        plain = {name: texts[name] if isinstance(value, str) else value for name, value in params.items()}
        return {
            **environment,
            **{f"HOPSLITE_PARAM_{name.upper()}": text for name, text in texts.items()},
            "HOPSLITE_PARAMS": json.dumps(plain),
        }

    def _texts(self, params: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
        """Values as they were written, with their variables expanded."""
        variables = {**self.typed_with, **environment}
        written = {name: self.texts.get(name, {}).get(json.dumps(value)) for name, value in params.items()}
        return {
            name: expand(text_of(params[name]) if text is None else text, variables) for name, text in written.items()
        }

    def _line(
        self, params: Mapping[str, Any], environment: Mapping[str, str] | None = None, python: str = sys.executable
    ) -> list[str]:
        variables = {**self.typed_with, **(environment or {})}
        texts = self._texts(params, variables)

        def field(name: str) -> str | None:
            key = parameter_name(name)
            return texts.get(key, "" if key in self.optional else None)

        free = [Argument(self.words), *(argument for argument in self.arguments if argument.of is None)]
        fields = {
            parameter_name(name)
            for argument in free
            if argument.is_filled
            for name in FIELD.findall(" ".join(argument.words))
        }
        known = fields | {argument.of for argument in self.arguments}
        appended = [
            Argument((f"--{name}", text), name, is_filled=False, is_expanded=False)
            for name, text in texts.items()
            if name not in known
        ]
        words = [
            expand(word, variables, field if argument.is_filled else None) if argument.is_expanded else word
            for argument in (Argument(self.words), *self.arguments, *appended)
            if argument.of not in fields and _is_passed(argument, self.optional, params)
            for word in argument.words
        ]
        if self.is_notebook:  # which the environment's Python executes for this one
            return [sys.executable, *words[1:]]
        if words[0] in PYTHONS:
            return [python, *words[1:]]
        return [python, *words] if words[0].endswith(".py") else words


def _is_passed(argument: Argument, optional: Sequence[str], params: Mapping[str, Any]) -> bool:
    """True if a trial with these parameters has an argument in its command line."""
    if argument.of in optional and argument.of not in params:
        return False
    return not argument.is_flag or bool(params[str(argument.of)])


def parameter_name(text: str) -> str:
    """Parameter's name for an option: `batch_size` for `batch-size`, `lambda_` for `lambda`."""
    name = text.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def text_of(value: Any) -> str:
    """Text of a value for the command line, if nobody wrote it otherwise."""
    return value if isinstance(value, str) else json.dumps(value)
