"""A user's program behaves in a trial as it does outside: serialized in one process, loaded in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S

EVERYTHING = ROOT / "tests/helpers/program_with_everything.py"
# What the parent process of trials does, and a trial, without Spark.
TRIAL = """
import json, os, sys
from hopslite.serialization.program import PROGRAM_FILE, Program
from pathlib import Path

os.environ[PROGRAM_FILE] = sys.argv[1]
arguments = sys.argv[2:]
if __name__ == "__main__":
    program = Program(Path(sys.argv[1]).read_bytes())
    program.install(arguments)
    fn, _ = program.load()
    answers = {check: fn(check)["answer"] for check in fn.__globals__["CHECKS"]}
    print("ANSWERS", json.dumps(answers))
"""


def python(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
    )


def answers_in(output: str) -> dict[str, str]:
    [line] = [line for line in output.splitlines() if line.startswith("ANSWERS ")]
    answers: dict[str, str] = json.loads(line.removeprefix("ANSWERS "))
    return answers


@pytest.fixture(scope="module")
def outside() -> dict[str, str]:
    done = python(str(EVERYTHING), "outside")
    assert done.returncode == 0, done.stderr
    return answers_in(done.stdout)


class Trial:
    """The answers of the program's checks in a trial, and what it printed."""

    def __init__(self, folder: Path, form: str) -> None:
        payload = folder / f"{form}.program"
        text = EVERYTHING.read_text()
        forms = {"script": (str(EVERYTHING),), "stdin": ("-",), "command": ("-c", text)}
        arguments = (*forms[form], "serialize", str(payload))
        driver = python(*arguments, stdin=text if form == "stdin" else "")
        assert driver.returncode == 0, driver.stderr
        # of the environment the study takes care, not the program
        variables = {"PICKLE_OF_THE_DRIVER": driver.stderr.strip(), "SET_BY_THE_PROGRAM": "yes"}
        done = python("-c", TRIAL, str(payload), "program.py", "outside", **variables)
        assert done.returncode == 0, done.stderr
        self.answers = answers_in(done.stdout)
        self.printed = done.stdout.splitlines()


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    folder = tmp_path_factory.mktemp("programs")
    return {form: Trial(folder, form) for form in ("script", "stdin", "command")}


@pytest.mark.parametrize(
    "check",
    [
        "identities", "instances", "registries", "members", "closures", "dispatch", "caches",
        "pickle_of_the_driver", "unpickling_code", "namespace",
        "changed_globals", "source", "tracebacks", "shown_warnings", "filters", "logs", "process", "forked", "spawned",
    ],
)  # fmt: skip
def test_a_script_says_the_same_in_a_trial(check: str, outside: dict[str, str], trials: dict[str, Trial]) -> None:
    assert not outside[check].startswith(("AttributeError", "PicklingError"))
    assert trials["script"].answers[check] == outside[check]


@pytest.mark.parametrize("form", ["stdin", "command"])
def test_so_does_a_program_without_a_file(form: str, outside: dict[str, str], trials: dict[str, Trial]) -> None:
    of_files = {"source", "tracebacks", "shown_warnings", "process"}  # outside of hopslite there is no source, either
    compared = outside.keys() - of_files
    answers = trials[form].answers
    assert {check: answers[check] for check in compared} == {check: outside[check] for check in compared}


def test_what_the_program_logs_is_printed(trials: dict[str, Trial]) -> None:
    printed = trials["script"].printed
    assert "INFO|mine.own|said by mine.own" in printed
    assert "NOTICE|mine.own|noticed by mine.own" in printed
    assert "marked|said by fields" in printed
    assert "INFO:fields:said by fields" in printed  # its format has a field that a filter of the program sets
    assert not [line for line in printed if "by quiet" in line]


def serialized(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Serialize the function `train` of a program, and say why it is refused."""
    path = folder / "program.py"
    path.write_text(
        f"{program}\n\n"
        "from hopslite.errors import NotSerializable\n"
        "from hopslite.serialization.values import serialize\n"
        "try:\n    serialize(train, [])\n    print('taken')\nexcept NotSerializable as error:\n    print(error)\n"
    )
    return python(str(path))


REFUSED: dict[str, tuple[str, str]] = {
    "a wrapped C callable": (
        "import numpy as np\nadd = np.frompyfunc(lambda x: x + 1, 1, 1)\ndef train(x): return add(x)",
        "'add'",
    ),
    "a C type that is pickled by its name": (
        "import datetime\n"
        "class Zone(datetime.date):\n    def __reduce__(self): return 'ZONE'\n"
        "ZONE = Zone(2020, 1, 1)\ndef train(x): return ZONE",
        "ZONE",
    ),
    "an object whose class fails elsewhere": (
        "import os\nclass Here:\n    def __init__(self, pid): self.pid = pid\n"
        "    def __reduce__(self): return made, (os.getpid(),)\n"
        "def made(pid):\n    assert pid == os.getpid(), 'made by another process'\n    return Here(pid)\n"
        "here = Here(os.getpid())\ndef train(x): return here.pid",
        "'here'",
    ),
    "a lock of a helper": (
        "import threading\nLOCK = threading.Lock()\n"
        "def helper():\n    with LOCK: return 1\ndef train(x): return helper()",
        "'LOCK'",
    ),
    "a state that cannot be set elsewhere": (
        "import sys\nclass Table:\n    def __getstate__(self): return {'x': 1}\n"
        "    def __setstate__(self, state): raise OSError('no table file')\n"
        "table = Table()\ndef train(x): return table",
        "no table file",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_function_that_cannot_be_loaded_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    program, name = REFUSED[kind]
    done = serialized(tmp_path, program)
    assert done.returncode == 0, done.stderr
    assert "train() cannot be sent to an executor" in done.stdout
    assert name in done.stdout


def test_a_module_that_no_other_process_can_import_travels_by_value(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "helpers.py").write_text(
        "import functools\nclass Net:\n    width = 3\n@functools.lru_cache\ndef wide(x): return Net.width * x\n"
    )
    program = (
        f"import sys\nsys.path.insert(0, {str(tmp_path / 'elsewhere')!r})\nimport helpers\nfrom helpers import wide\n"
        "del sys.path[0]\ndef train(x): return {'answer': wide(x) + helpers.Net.width}\n"
        "from hopslite.serialization.program import serialize\n"
        f"open({str(tmp_path / 'payload')!r}, 'wb').write(serialize(train, []))\n"
        "import cloudpickle\nassert not cloudpickle.list_registry_pickle_by_value()"
    )
    (tmp_path / "program.py").write_text(program)
    done = python(str(tmp_path / "program.py"))
    assert done.returncode == 0, done.stderr
    load = (
        "import sys; from pathlib import Path; from hopslite.serialization.program import Program\n"
        "program = Program(Path(sys.argv[1]).read_bytes()); program.install(); print(program.load()[0](2))"
    )
    loaded = python("-c", load, str(tmp_path / "payload"))
    assert loaded.stdout.strip() == "{'answer': 9}", loaded.stderr


def test_texts_that_the_function_does_not_name_are_in_no_record(tmp_path: Path) -> None:
    program = (
        "import getpass, os\nPASSWORD = os.environ['MINE']\nNUMBER = 3\nKEY = os.environ['MINE'] + '2'\n"
        "def login(): return PASSWORD\ndef train(x): return KEY\n"
        "from hopslite.serialization.program import serialize, without_texts, Program\n"
        "payload = serialize(train, [])\nkept = without_texts(payload)\n"
        "mine = os.environ['MINE'].encode()\n"
        "print(payload.count(mine), kept.count(mine), kept.count(mine + b'2'))\n"
        "program = Program(kept)\nprogram.install()\nimport __main__\n"
        "print(__main__.NUMBER, hasattr(__main__, 'PASSWORD'))"
    )
    (tmp_path / "program.py").write_text(program)
    done = python(str(tmp_path / "program.py"), MINE="s3cret")
    assert done.stdout.split() == ["3", "1", "1", "3", "False"], done.stderr


def test_a_spawned_process_says_when_the_program_is_gone() -> None:
    done = python("-c", "import runpy; runpy.run_module('hopslite.serialization.spawned_main', run_name='__mp_main__')")
    assert done.stderr.splitlines()[-1].startswith("RuntimeError: a process that was spawned by a trial needs")
