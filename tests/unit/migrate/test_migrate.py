"""`hopslite migrate`: programs for HopsML and Maggy become programs for hopslite."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hopslite.cli.migrate import migrate_command
from hopslite.migrate import Kind, examine, python_files, save
from tests.helpers.observe import PATIENCE_S


def run(*arguments: Any) -> tuple[int, list[str]]:
    """The command's exit code and what it says, line by line."""
    result = CliRunner().invoke(migrate_command, [str(argument) for argument in arguments], standalone_mode=False)
    assert result.exception is None, result.exception
    return int(result.return_value), result.output.splitlines()


def migrated(path: Path, content: str | bytes) -> bytes:
    """The content of a file after `--write`; a second time nothing is changed any more."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    report = examine(str(path))
    assert save(report) is None
    after = path.read_bytes()
    assert examine(str(path)).after is None
    return after


def looks(path: Path, content: str) -> list[tuple[int, str]]:
    path.write_text(content)
    return [(finding.line, finding.message) for finding in examine(str(path)).findings if finding.kind is Kind.LOOK]


# --- imports

IMPORTS = [
    ("from hops import experiment", "from hopslite import experiment"),
    (
        "from hops import experiment, hdfs as h, tensorboard  # all",
        "from hopslite import experiment, hdfs as h, tensorboard  # all",
    ),
    (
        "from hops.experiment import grid_search as g, Direction",
        "from hopslite.experiment import grid_search as g, Direction",
    ),
    ("from   hops\timport   experiment", "from   hopslite\timport   experiment"),
    (
        "from hops import (\n    hdfs,  # files\n    util,\n)",
        "from hopslite import (\n    hdfs,  # files\n    util,\n)",
    ),
    ("from hops \\\n    import experiment", "from hopslite \\\n    import experiment"),
    ("import hops.experiment as e", "import hopslite.experiment as e"),
    ("import hops", "import hopslite as hops"),
    ("import hops as h", "import hopslite as h"),
    ("import hops.experiment", "import hopslite as hops"),
    ("import os, hops.experiment, hops.hdfs, sys", "import os, hopslite as hops, sys"),
    ("import hops.hdfs as a, hops.hdfs as b", "import hopslite.hdfs as a, hopslite.hdfs as b"),
    ("from hops import *", "from hopslite import *"),
    ("from hops.hdfs import *", "from hopslite.hdfs import *"),
    ("from hops import featurestore, serving", "from hopslite import featurestore, serving"),
    ("from hops.serving import export", "from hopslite.model import export"),
    ("from hops.util import abspath as a", "from hopslite.hdfs import abs_path as a"),
    ("from maggy import Searchspace", "from hopslite.maggy import Searchspace"),
    ("from maggy import experiment", "from hopslite import experiment"),
    ("from maggy.experiment import experiment", "from hopslite import experiment"),
    ("from maggy.experiment import lagom", "from hopslite.experiment import lagom"),
    ("from maggy.optimizer import RandomSearch, Asha", "from hopslite.maggy import RandomSearch, Asha"),
    ("from maggy.optimizer.bayes.gp import GP", "from hopslite.maggy import GP"),
    ("from maggy.ablation import AblationStudy", "from hopslite.ablation import AblationStudy"),
    (
        "from maggy.core.exceptions import EarlyStopException",
        "from hopslite.errors import TrialStopped as EarlyStopException",
    ),
    ("from maggy.core.exceptions import EarlyStopException as E", "from hopslite.errors import TrialStopped as E"),
    ("import maggy", "import hopslite.maggy as maggy"),
    ("import maggy.optimizer as o", "import hopslite.maggy as o"),
    ("import maggy.callbacks as c", "import hopslite.callbacks as c"),
    (
        "from maggy import experiment, Searchspace  # noqa",
        "from hopslite import experiment\nfrom hopslite.maggy import Searchspace  # noqa",
    ),
    (
        "from maggy import experiment, Searchspace; x = 1",
        "from hopslite import experiment; from hopslite.maggy import Searchspace; x = 1",
    ),
    (
        "if 1: from maggy import experiment, Searchspace",
        "if 1: from hopslite import experiment; from hopslite.maggy import Searchspace",
    ),
    (
        "def f():\n    from maggy import (experiment,\n                       Searchspace as S)\n    return S",
        "def f():\n    from hopslite import experiment\n    from hopslite.maggy import Searchspace as S\n    return S",
    ),
    (
        "from maggy import (  # first\n    experiment,  # verbs\n    # spaces\n    Searchspace,\n    # last\n)",
        "# first\nfrom hopslite import experiment  # verbs\n# spaces\nfrom hopslite.maggy import Searchspace\n# last",
    ),
    # what is not theirs, or no import
    ("from hopsworks import client\nimport maggy_harness, hops_util", None),
    ("from .hops import experiment\nfrom . import maggy", None),
    ('"""\nfrom hops import experiment\n"""\ns = "import hops"  # from hops import x', None),
    ("hops = maggy = 1\nprint(hops, maggy)", None),
    ("", None),
]


@pytest.mark.parametrize(("before", "after"), IMPORTS)
@pytest.mark.parametrize("ending", ["\n", ""])
def test_imports_are_changed_and_nothing_else(tmp_path, before, after, ending):
    text = f"import os{ending or '; '}{before}{ending}" if ending else before
    expected = text if after is None else text.replace(before, after)
    assert migrated(tmp_path / "p.py", text).decode() == expected


@pytest.mark.parametrize("newline", ["\r\n", "\r", "\n"])
def test_the_ends_of_lines_stay(tmp_path, newline):
    before = newline.join(["from maggy import experiment, Searchspace", "", "def f():", "    import hops", ""])
    after = newline.join(
        [
            "from hopslite import experiment",
            "from hopslite.maggy import Searchspace",
            "",
            "def f():",
            "    import hopslite as hops",
            "",
        ]
    )
    assert migrated(tmp_path / "p.py", before) == after.encode()


@pytest.mark.parametrize(
    ("encoding", "first"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("latin-1", "# -*- coding: latin-1 -*-\n"),
        ("shift_jis", "#!/usr/bin/env python\n# vim: set fileencoding=shift_jis :\n"),
        ("latin-1", ""),  # which Python 2 took
    ],
)
def test_the_encoding_stays(tmp_path, encoding, first):
    letter = "表" if encoding == "shift_jis" else "é"
    text = f"{first}from hops import hdfs  # {letter}\nname = '{letter}'\n"
    after = migrated(tmp_path / "p.py", text.encode(encoding))
    assert after == text.replace("hops ", "hopslite ").encode(encoding)
    report = examine(str(tmp_path / "p.py"))
    assert [finding.kind for finding in report.findings] == ([Kind.LOOK] if encoding == "latin-1" and not first else [])


PYTHON_2 = """\
import os
from hops import experiment

def train(lr):
    from hops import tensorboard
    print "rate", lr, 0777, `lr`
    try:
        exec "x = 1"
    except Exception, error:
        raise ValueError, "no"

print experiment.grid_search(map_fun=train, args_dict={'lr': [1]})
"""
BROKEN = """\
from hops import experiment
def half(:
    from hops import hdfs
x = (1,
from hops import tensorboard
class A
    from maggy import experiment, Searchspace
"""


def test_python_2_and_files_with_errors_are_changed_and_shown(tmp_path):
    after = migrated(tmp_path / "p.py", PYTHON_2).decode()
    assert after == PYTHON_2.replace("from hops ", "from hopslite ")
    (line, syntax), keywords = looks(tmp_path / "p.py", PYTHON_2)
    assert (line, syntax[:13]) == (6, "not Python 3:")
    assert keywords == (12, "map_fun= is now train_fn=; args_dict= is now grid_dict=")
    after = migrated(tmp_path / "q.py", BROKEN).decode()
    assert after.count("hopslite") == 5
    assert "from hops " not in after
    assert "from maggy " not in after


# --- lines that need a look


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("from hops import hdfs as h\nh.log('text')", "hopslite has no hdfs.log: call `print`"),
        ("from hops.hdfs import log\nlog('text')", "hopslite has no hdfs.log"),
        ("import hops.experiment\nhops.experiment.evolutionary_search()", "differential_evolution(train_fn"),
        ("from hops import featurestore\nx = [featurestore.get_featuregroup('a')]", "it has no feature store"),
        ("from hops import constants\nconstants.ENV_VARIABLES.X", "write the value itself"),
        ("from maggy.optimizer import AbstractOptimizer as A\nclass B(A): pass", "`ask` and `tell`"),
        ("from hops import experiment\nexperiment.launch(map_fun=f, name='x')", "map_fun= is now train_fn="),
        (
            "from hops import experiment as e\ne.mirrored(\n f, versioned_resources=['a'])",
            "versioned_resources= has no",
        ),
        ("from hops.experiment import collective_all_reduce\ncollective_all_reduce(map_fun=f)", "map_fun= is now"),
        ("import maggy\nmaggy.experiment.lagom(map_fun=f)", "map_fun= is now"),
        ("from hopslite import experiment\nexperiment.grid_search(f, args_dict=g)", "args_dict= is now grid_dict="),
        ("import importlib as i\ni.import_module('hops.hdfs')", "write hopslite.hdfs"),
        ('x = 1\n__import__("maggy")', "write hopslite.maggy"),
        ("def f():\n    import pydoop.hdfs as hdfs", "pydoop needs HDFS"),
        ("x = 1\nfrom hops import launcher", "hopslite has no hops.launcher"),
        ("x = 1\nimport hops.experiment_impl.util as u", "hopslite has no hops.experiment_impl.util"),
        ("x = 1\nfrom hops import *", "name the modules"),
        ("x = 1\nif 1: from maggy import (experiment, # a\n  Searchspace)", "on a line of its own"),
        ("import tensorflow as tf\ntf.contrib.layers.x()", "no `tf.contrib`"),
        ("x = 1\nprint 'a'", "not Python 3"),
    ],
)
def test_a_line_that_needs_a_look(tmp_path, line, message):
    (number,) = [number for number, said in looks(tmp_path / "p.py", f"\n\n{line}\n") if message in said]
    assert number == 4
    assert run(tmp_path / "p.py")[0] == 1


@pytest.mark.parametrize(
    "text",
    [
        "from hopslite import experiment, hdfs\nexperiment.launch(train_fn=f)\nhdfs.ls('.')\n",
        "from hopslite import experiment\nexperiment.launch(dict(map_fun=f), f(map_fun=1))\n",
        "def launch(map_fun): pass\nlaunch(map_fun=1)\nx.log(1)\nhdfs.log(1)\n",
        "from hopslite import hdfs\nmine.hdfs.log(1)\nf(hdfs=1)\n",
        "from hopslite import featurestore  # which nobody uses\n",
        "match x:\n    case {'a': 1}:\n        pass\n",
    ],
)
def test_what_needs_no_look(tmp_path, text):
    assert looks(tmp_path / "p.py", text) == []
    assert run("--write", tmp_path / "p.py") == (0, ["1 file: nothing to do"])
    assert (tmp_path / "p.py").read_text() == text


def test_what_differs_is_a_note_and_no_reason_to_fail(tmp_path):
    (tmp_path / "p.py").write_text("from hopslite import hdfs\nhdfs.get()\n")
    code, lines = run(tmp_path / "p.py")
    assert code == 0
    assert lines[0].endswith("p.py:2: hdfs.get()")
    assert lines[1] == "  note    hdfs.get: returns a file system of fsspec, not of pydoop"


# --- notebooks

CELLS: list[tuple[str, str]] = [
    ("markdown", "# from hops import experiment"),
    (
        "code",
        "%matplotlib inline\n!pip install -U hops\nimport os\nfrom hops import experiment, hdfs as h\nf = !ls\nlen?\n",
    ),
    ("code", "%%time\nfrom maggy import experiment, Searchspace"),
    ("code", "%%bash\npip install maggy\nfrom hops import x"),
    ("code", "%%local\nh.log('é \\u00e9 \"quoted\"')\nawait f()"),
    ("code", '%%configure -f\n{"driverMemory": "2g"}'),
    ("code", "%%writefile p.py\nfrom hops import util  # é\n"),
    ("code", ""),
    ("raw", "from hops import experiment"),
]


def notebook(
    version: int = 4, lines: bool = True, language: str = "python", kernel: str = "pysparkkernel"
) -> dict[str, Any]:
    cells = [
        {
            "cell_type": kind,
            **({"execution_count": None, "outputs": [{"text": "from hops import x"}]} if kind == "code" else {}),
            "metadata": {"lr": 1e-05},
            ("input" if version == 3 and kind == "code" else "source"): text.splitlines(keepends=True)
            if lines
            else text,
        }
        for kind, text in CELLS
    ]
    body = {"worksheets": [{"cells": cells}]} if version == 3 else {"cells": cells}
    return {**body, "metadata": {"kernelspec": {"name": kernel, "language": language}}, "nbformat": version}


def sources(document: dict[str, Any]) -> list[str]:
    (sheet,) = document.get("worksheets", [document])
    texts = [cell.get("source", cell.get("input")) for cell in sheet["cells"]]
    return ["".join(text) for text in texts]


@pytest.mark.parametrize("indent", [1, 4, None])
@pytest.mark.parametrize("version", [4, 3])
@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_in_a_notebook_only_the_imports_change(tmp_path, indent, version, lines, ascii_only):
    document = notebook(version, lines)
    before = json.dumps(document, indent=indent, ensure_ascii=ascii_only) + "\n"
    after = migrated(tmp_path / "n.ipynb", before).decode()
    expected = [text for _, text in CELLS]
    expected[1] = expected[1].replace("from hops", "from hopslite")
    expected[2] = "%%time\nfrom hopslite import experiment\nfrom hopslite.maggy import Searchspace"
    expected[6] = expected[6].replace("from hops", "from hopslite")
    assert sources(json.loads(after)) == expected
    again = json.loads(before)
    for cell, text in zip(again.get("worksheets", [again])[0]["cells"], expected, strict=True):
        key = "source" if "source" in cell else "input"
        cell[key] = text.splitlines(keepends=True) if lines else text
    assert after == json.dumps(again, indent=indent, ensure_ascii=ascii_only) + "\n"


def test_the_lines_of_a_notebook_are_named_by_cell(tmp_path):
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(notebook(), indent=1))
    code, lines = run(path)
    assert code == 1
    heads = [line.removeprefix(f"{path}:") for line in lines if line.startswith(str(path))]
    assert heads == [
        "",
        "cell 2:2: !pip install -U hops",
        "cell 2:4: from hops import experiment, hdfs as h",
        "cell 3:2: from maggy import experiment, Searchspace",
        "cell 5:1: %%local",
        "cell 5:2: h.log('é \\u00e9 \"quoted\"')",
        "cell 6:1: %%configure -f",
        "cell 7:2: from hops import util  # é",
    ]
    assert lines[1].startswith("  look    the kernel pysparkkernel is Hopsworks' own; choose a Python 3 kernel")
    assert lines[-1] == "1 file: 3 imports to change, 5 lines need a look; hopslite migrate --write changes the imports"


def test_a_notebook_of_another_language_is_left_alone(tmp_path):
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(notebook(language="scala", kernel="scala")))
    assert run("--write", path) == (0, ["1 file: nothing to do"])


# --- files


def test_the_command_shows_and_writes(tmp_path):
    path = tmp_path / "p.py"
    path.write_text("from maggy import experiment, Searchspace\nexperiment.lagom(map_fun=f)\n")
    assert run(path) == (
        1,
        [
            f"{path}:1: from maggy import experiment, Searchspace",
            "  change  from hopslite import experiment",
            "          from hopslite.maggy import Searchspace",
            f"{path}:2: experiment.lagom(map_fun=f)",
            "  note    experiment.lagom: the configuration, or `name`, `searchspace` and the like, by keyword; "
            "`optimization_key` counts",
            f"{path}:2: experiment.lagom(map_fun=f)",
            "  look    map_fun= is now train_fn=",
            "1 file: 1 import to change, 1 line needs a look; hopslite migrate --write changes the imports",
        ],
    )
    code, lines = run("--write", path)
    assert (code, lines[1], lines[-1]) == (
        1,
        "  changed from hopslite import experiment",
        "1 file: 1 import changed, 1 line needs a look",
    )
    assert f"{path}:3: experiment.lagom(map_fun=f)" in lines  # where it is now
    path.write_text("from hops import experiment\n")
    assert run("--write", path)[0] == 0


def test_folders_are_searched_for_programs_and_notebooks(tmp_path):
    for name in (
        "b.py",
        "a.ipynb",
        "text.md",
        "sub/c.py",
        ".hidden/d.py",
        "env/lib/e.py",
        "__pycache__/f.py",
        "run/p.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("from hops import hdfs\n")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "run" / "run.json").write_text("{}")
    os.symlink(tmp_path / "b.py", tmp_path / "z.py")
    files = python_files([str(tmp_path), str(tmp_path / "b.py"), str(tmp_path / "text.md")])
    assert [str(Path(file).relative_to(tmp_path)) for file in files] == ["a.ipynb", "b.py", "sub/c.py", "text.md"]
    code, lines = run("--write", tmp_path)
    assert code == 1
    assert lines[:2] == [f"{tmp_path}/a.ipynb:", "  error   cannot be read: Expecting value: line 1 column 1 (char 0)"]
    assert lines[-1] == "3 files: 2 imports changed, 1 file could not be handled"
    assert (tmp_path / ".hidden/d.py").read_text() == "from hops import hdfs\n"
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty") == (0, ["no files: nothing to do"])


def test_a_file_is_replaced_at_once_and_keeps_its_mode_and_its_link(tmp_path):
    path = tmp_path / "real" / "p.py"
    path.parent.mkdir()
    path.write_text("from hops import hdfs\n")
    path.chmod(0o751)
    link = tmp_path / "link.py"
    link.symlink_to(path)
    before = path.stat().st_ino
    assert run("--write", link)[0] == 0
    assert link.is_symlink()
    assert path.read_text() == "from hopslite import hdfs\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o751
    assert path.stat().st_ino != before
    assert os.listdir(path.parent) == ["p.py"]


def test_files_that_cannot_be_changed_are_named_and_the_others_changed(tmp_path):
    fixed, other, strange = tmp_path / "a.py", tmp_path / "b.py", tmp_path / "c.py"
    fixed.write_text("from hops import hdfs\n")
    fixed.chmod(0o444)
    other.write_text("from hops import hdfs\n")
    strange.write_text("# coding: nonsense\nfrom hops import hdfs\n")
    code, lines = run("--write", tmp_path)
    assert code == 1
    assert lines[1] == f"  error   is read-only; make it writable with `chmod u+w {fixed}`"
    assert fixed.read_text() == "from hops import hdfs\n"
    assert other.read_text() == "from hopslite import hdfs\n"
    assert any("unknown encoding: nonsense" in line for line in lines)
    assert lines[-1] == "3 files: 1 import changed, 2 files could not be handled"


def test_a_file_that_changes_in_between_is_left_alone(tmp_path):
    path = tmp_path / "p.py"
    path.write_text("from hops import hdfs\n")
    report = examine(str(path))
    path.write_text("from hops import hdfs, util\n")
    assert save(report) == "has changed while it was read; try again"
    assert path.read_text() == "from hops import hdfs, util\n"


def test_a_disk_that_is_full_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "p.py"
    path.write_text("from hops import hdfs\n")
    report = examine(str(path))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert save(report) == "cannot be written: No space left on device"
    assert path.read_text() == "from hops import hdfs\n"
    assert os.listdir(tmp_path) == ["p.py"]


@pytest.mark.parametrize(
    "content", [b"\x00\x01", b"(" * 1_500, b"\xff\xfe" + "import hops".encode("utf-16-le"), b"{}", b"[1]"]
)
@pytest.mark.parametrize("name", ["p.py", "n.ipynb"])
def test_garbage_is_an_error_or_a_look_and_stays(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    code, lines = run("--write", path)
    assert path.read_bytes() == content
    assert code in (0, 1)
    assert lines


# --- programs, written for the predecessors, that run after the command

GRID = """\
import os
from hops import experiment, tensorboard, devices
from hops import hdfs as h

def train(learning_rate, dropout):
    from hops import tensorboard, util
    with open(os.path.join(tensorboard.logdir(), "notes.txt"), "w") as notes:
        notes.write(str(devices.get_num_gpus() + util.num_param_servers()))
    return {"accuracy": 1 - learning_rate - dropout, "loss": learning_rate}

args_dict = {"learning_rate": [0.1, 0.2], "dropout": [0.3]}
logdir, best, outputs = experiment.grid_search(
    train, args_dict, direction="max", optimization_key="accuracy", name="grid", pool="inline", display=False)
print(best, outputs["loss"], h.exists(logdir + "/notes.txt"))
"""
OLDER = """\
import hops.experiment
import hops.util as u
from hops.experiment import differential_evolution as evolve
from hops import featurestore, serving, kafka, tls, constants

def wrapper(lr, layers):
    return lr * layers

_, best, _ = evolve(objective_function=wrapper, boundary_dict={"lr": [1.0, 0.0], "layers": [1, 3]}, direction="max",
                    generations=1, population=4, cleanup_generations=True, seed=1, pool="inline", display=False)
grid = u.grid_params({"lr": [1, 2], "layers": [3, 4]})
run = hops.experiment.launch(map_fun=wrapper, args_dict=grid, versioned_resources=None, pool="inline", display=False)
print(sorted(best), [trial.outputs["metric"] for trial in run.trials])
"""
LAGOM = """\
from maggy import experiment, Searchspace
from maggy.optimizer import RandomSearch
from maggy.core.exceptions import EarlyStopException

sp = Searchspace(kernel=("INTEGER", [2, 8]))
sp.add("dropout", ("DOUBLE", [0.01, 0.99]))

def train(kernel, dropout, reporter):
    for step in range(3):
        try:
            reporter.broadcast(metric=kernel * dropout, step=step)
        except EarlyStopException:
            raise
    return kernel * dropout

result = experiment.lagom(map_fun=train, searchspace=sp, optimizer=RandomSearch(), direction="max", num_trials=3,
                          name="hp", hb_interval=1, es_interval=1, es_min=5, pool="inline", display=False)
print(result["num_trials"], sorted(result["best_config"]))
"""
CONFIGURED = """\
from maggy import Searchspace
from maggy.experiment import experiment
from maggy.experiment_config import OptimizationConfig
import maggy

def train(hparams):
    return {"score": hparams["x"]}

config = OptimizationConfig(num_trials=2, optimizer="gridsearch", searchspace=Searchspace(x=("DISCRETE", [1, 2])),
                            direction="max", optimization_key="score", name="configured")
assert isinstance(config, maggy.config.HyperparameterOptConfig)
print(experiment.lagom(train_fn=train, config=config, pool="inline", display=False)["best_val"])
"""


@pytest.mark.slow("programs of other tools")
@pytest.mark.parametrize(
    ("program", "printed"),
    [
        (GRID, "{'learning_rate': 0.1, 'dropout': 0.3} 0.1 True"),
        (OLDER, "['layers', 'lr'] [3, 4, 6, 8]"),
        (LAGOM, "3 ['dropout', 'kernel']"),
        (CONFIGURED, "2.0"),
    ],
    ids=["grid", "older", "lagom", "configured"],
)
def test_a_program_runs_after_the_command(tmp_path, program, printed):
    path = tmp_path / "program.py"
    migrated(path, program)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", path],
        cwd=tmp_path, env={**os.environ, "HOPSLITE_PROJECT": str(tmp_path / "project")},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == printed
