"""A command as a training function: `hopslite run` starts a program once per trial and listens to what it says."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import json
import keyword
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psutil

from ..errors import CommandFailed, ReportError
from .context import current, current_reporter
from .mlflow_calls import MlflowCalls
from .report import report

__all__ = ["Argument", "Command", "PYTHONS", "parameter_name", "text_of"]

POLL_SECONDS = 2.0  # between two looks at event files
LONGEST = 1 << 16  # characters of a line that may be a metric
STOP_SECONDS = 10.0  # for a program to end when it is asked to
PIECE = 1 << 16
SAID = 200  # characters of the last line that a program wrote
PYTHONS = ("python", "python3")  # on an executor's PATH may be any
FIELD = re.compile(r"\{(\w+)\}")


@dataclasses.dataclass(frozen=True)
class Argument:
    """Words of a program's command line that belong together.

    Args:
        words: the words, as they were typed.
        of: the parameter that they give to the program; they are left out where `{name}` in the command does so.
        is_filled: whether `{name}` in them is a parameter's value.
    """

    words: tuple[str, ...]
    of: str | None = None
    is_filled: bool = True


@dataclasses.dataclass(frozen=True)
class Command:
    """Runs a command with a trial's parameters, in a copy of its code's directory.

    Args:
        words: the command; `{name}` in a word is a parameter's value. This Python runs a first word that ends in
            `.py`, and takes the place of another one.
        names: the parameters'.
        code: its directory, as a zip archive.
        environment: more variables; they may hold secrets.
        metric: the name of the metric that is reported while the command runs.
        arguments: what comes after the words. Parameters that neither have are appended, as `--name value`.
        texts: for each parameter how its values were written, by their JSON: `1e-3` is another text than `0.001`.
        given: what `hopslite run` was given, in a form for JSON, to be kept with the run; no secrets.
    """

    words: tuple[str, ...]
    names: tuple[str, ...]
    code: bytes = dataclasses.field(repr=False)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    metric: str | None = None
    arguments: tuple[Argument, ...] = ()
    texts: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in self.names])

    @property
    def snapshot_files(self) -> dict[str, bytes]:
        """What is kept of the program in the run directory."""
        given = {"command.json": json.dumps(self.given, indent=2).encode()} if self.given else {}
        return {"code.zip": self.code, **given}

    def __call__(self, **params: Any) -> dict[str, float]:
        context = current()
        assert context is not None
        output = os.path.join(context.directory, "output")
        os.makedirs(output, exist_ok=True)
        folder = tempfile.mkdtemp(prefix="hopslite-code-")
        try:
            _unzip(self.code, folder)
            environment = {
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                **self.environment,
                **{f"HOPSLITE_PARAM_{name.upper()}": text for name, text in self._texts(params).items()},
                **{f"HOPSLITE_INPUT_{name.upper()}": path for name, path in context.inputs.items()},
                "HOPSLITE_PARAMS": json.dumps(params),
                "HOPSLITE_OUTPUT": output,
                "HOPSLITE_RUN_ID": context.run_id,
                "HOPSLITE_TRIAL_ID": context.trial_id,
            }
            metrics = _Metrics(self.metric)
            with MlflowCalls(os.path.join(output, "mlflow")) as calls:
                if "MLFLOW_TRACKING_URI" not in self.environment:  # the driver's is for what hopslite records
                    environment = calls.environment(environment)
                events = _EventFiles([output, folder, context.logdir], without=calls.folder)
                _run(os.path.basename(self.words[0]), self._line(params), folder, environment, metrics, events, calls)
            if self.metric is not None and self.metric not in metrics.values:
                example = json.dumps({"metric": self.metric, "value": 0.5, "step": 1})
                raise CommandFailed(
                    f"{self.words[0]} has not told the metric {self.metric!r}; metrics that it told: "
                    f"{', '.join(metrics.values) or 'none'}. Have it print lines such as {example}, "
                    "or call mlflow.log_metric"
                )
            return metrics.values
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _texts(self, params: Mapping[str, Any]) -> dict[str, str]:
        """The values as they were written."""
        return {name: self.texts.get(name, {}).get(json.dumps(value), text_of(value)) for name, value in params.items()}

    def _line(self, params: Mapping[str, Any]) -> list[str]:
        texts = self._texts(params)
        free = [Argument(self.words), *(each for each in self.arguments if each.of is None)]
        fields = {
            parameter_name(name) for each in free if each.is_filled for name in FIELD.findall(" ".join(each.words))
        }
        known = fields | {each.of for each in self.arguments}
        appended = [
            Argument((f"--{name}", text), name, is_filled=False) for name, text in texts.items() if name not in known
        ]
        words = [
            _filled(word, texts) if each.is_filled else word
            for each in (Argument(self.words), *self.arguments, *appended)
            if each.of not in fields
            for word in each.words
        ]
        if words[0] in PYTHONS:
            return [sys.executable, *words[1:]]
        return [sys.executable, *words] if words[0].endswith(".py") else words


def parameter_name(text: str) -> str:
    """The name of the parameter that a program calls so: `batch_size` for `batch-size`, `lambda_` for `lambda`."""
    name = text.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def text_of(value: Any) -> str:
    """A value as a program is given it where nobody wrote it otherwise."""
    return value if isinstance(value, str) else json.dumps(value)


def _filled(word: str, texts: Mapping[str, str]) -> str:
    return FIELD.sub(lambda found: texts.get(parameter_name(found[1]), found[0]), word)


def _unzip(code: bytes, folder: str) -> None:
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        for member in archive.infolist():
            path = archive.extract(member, folder)
            mode = member.external_attr >> 16
            if mode and not member.is_dir():
                os.chmod(path, mode & 0o777 | 0o600)


class _Metrics:
    """The last value of each metric; the one that is optimised is reported as it comes."""

    def __init__(self, reported: str | None) -> None:
        self.values: dict[str, float] = {}
        self._reported = reported

    def take(self, name: str, value: float, step: int | None) -> None:
        self.values[name] = value
        if name == self._reported and current_reporter() is not None:
            with contextlib.suppress(ReportError):  # a step again, as of a program that writes lines and event files
                report(value, step)

    def line(self, text: bytes) -> None:
        """Take what a line of the form `{"metric": "loss", "value": 0.1, "step": 3}` says."""
        if not text.lstrip().startswith(b"{"):
            return
        try:
            found = json.loads(text)
            name, value, step = found["metric"], float(found["value"]), found.get("step")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return
        if isinstance(name, str):
            self.take(name, value, step if isinstance(step, int) and not isinstance(step, bool) else None)


def _run(
    name: str,
    line: list[str],
    folder: str,
    environment: Mapping[str, str],
    metrics: _Metrics,
    events: _EventFiles,
    calls: MlflowCalls,
) -> None:
    try:
        process = subprocess.Popen(
            line,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise CommandFailed(f"{name} cannot be started: {error.strerror or error}") from None
    last, said = b"", b""
    with process:  # a program whose output is closed earlier ends by itself, and leaves behind what it has started
        try:
            for piece in _output(process, lambda: events.tell(metrics), calls.fileno()):
                sys.stdout.flush()
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
                *lines, last = (last + piece).split(b"\n")
                for each in lines:
                    metrics.line(each)
                    said = each.strip() or said
                last = last[-LONGEST:]
                calls.tell(metrics)
            metrics.line(last)
            said = last.strip() or said
            while not _has_ended(process):  # it has only closed its output
                events.tell(metrics)
                calls.tell(metrics)
            events.tell(metrics)
            calls.told_all(metrics)
        except BaseException:
            _end(process)
            raise
    if process.returncode:
        what = f"exit status {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        says = f": {said[-SAID:].decode(errors='replace')}" if said else ""
        raise CommandFailed(f"{name} ended with {what}{says}")


def _output(process: subprocess.Popen[bytes], look: Callable[[], None], bell: int) -> Iterator[bytes]:
    """What a process writes, as it comes, and nothing when the bell can be read; calls `look` now and then."""
    assert process.stdout is not None
    looked = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(bell, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select(POLL_SECONDS)}
            if process.stdout in ready:
                piece = os.read(process.stdout.fileno(), PIECE)
                if not piece:
                    return
                yield piece
            elif bell in ready:
                yield b""
            if time.monotonic() - looked > POLL_SECONDS:
                look()
                looked = time.monotonic()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it ends within some seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(POLL_SECONDS)
    return process.returncode is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it has started."""
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        family = []
    for each in family:
        _signal(each.terminate)
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    for each in alive:
        _signal(each.kill)
    process.wait()


def _signal(send: Any) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        send()


class _EventFiles:
    """Scalars in TensorBoard's event files below some directories, but not `without` one, each told once."""

    def __init__(self, folders: list[str], without: str) -> None:
        self._without = os.path.realpath(without)
        self._folders = list(dict.fromkeys(os.path.realpath(folder) for folder in folders))
        self._loaders: dict[str, Any] = {}
        self._began = time.time()

    def tell(self, metrics: _Metrics) -> None:
        for path in self._files():
            if path not in self._loaders:
                self._loaders[path] = _loader(path)
            for event in self._loaders[path].Load():
                for value in event.summary.value:
                    number = _scalar(value)
                    if number is not None:
                        metrics.take(value.tag, number, int(event.step))

    def _files(self) -> list[str]:
        found = []
        for folder in self._folders:
            for place, below, names in os.walk(folder):
                below[:] = [each for each in below if os.path.join(place, each) != self._without]
                for name in names:
                    path = os.path.join(place, name)
                    is_ours = name.endswith(".hopslite")  # with what has been reported already
                    if (
                        "tfevents" in name
                        and not is_ours
                        and path not in found
                        and os.path.getmtime(path) >= self._began - 1
                    ):
                        found.append(path)
        return sorted(found)


def _loader(path: str) -> Any:
    # TensorBoard looks for this module to learn that it must not load TensorFlow
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return EventFileLoader(path)


def _scalar(value: Any) -> float | None:
    """The number of a summary's value; None when it is an image, a text or the like."""
    if value.metadata.plugin_data.plugin_name not in ("", "scalars"):
        return None
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.HasField("tensor"):
        from tensorboard.util.tensor_util import make_ndarray

        array = make_ndarray(value.tensor)
        return float(array) if array.size == 1 and array.dtype.kind in "fiu" else None
    return None
