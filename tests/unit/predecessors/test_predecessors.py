"""Names and keywords of HopsML and Maggy: what they were called still works, or says what to use instead."""

from __future__ import annotations

import importlib.util
import inspect
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import hopslite
from hopslite import experiment, maggy, tensorboard, util
from hopslite.errors import InvalidArguments, NotSupported, SparkUnavailable
from hopslite.predecessors import HOPSML, MODULES, MODULES_GONE, RENAMED, UNUSED, Status, counterpart, lookup
from tests.helpers.observe import PATIENCE_S

HERE: dict[str, Any] = {"pool": "inline", "display": False}
NAMES = [name for module in MODULES for name in module.names()]


def train(lr: float, depth: int = 1) -> float:
    return lr * depth


def one() -> float:
    return 0.5


# --- the list of names


def value_of(dotted: str) -> Any:
    """What a dotted name of hopslite stands for, found as an import and attributes find it."""
    parts = dotted.split(".")
    value: Any = importlib.import_module(parts[0])
    for number, part in enumerate(parts[1:], 2):
        try:
            value = getattr(value, part)
        except AttributeError:
            value = importlib.import_module(".".join(parts[:number]))
    return value


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.old)
def test_a_listed_name_is_there_or_says_what_to_use(name):
    if "." in name.name and name.status is Status.GONE:
        assert not hasattr(value_of(name.now.rpartition(".")[0]), name.now.rpartition(".")[2])
        return
    value = value_of(name.now)
    if name.status is not Status.GONE:
        assert type(value).__name__ != "Absent"
        assert (name.note == "") == (name.status is Status.WORKS)
    elif name.is_exception:
        assert issubclass(value, NotSupported)
    else:
        with pytest.raises(NotSupported, match=name.name):
            value()


def test_the_list_has_no_name_twice_and_every_module_that_hopslite_has_not():
    listed = [name.old for name in NAMES]
    assert len(listed) == len(set(listed))
    gone = {module.now for module in HOPSML} - {f"hopslite.{name}" for name in hopslite.__all__}
    assert gone == {f"hopslite.{name}" for name in MODULES_GONE}


def test_names_are_looked_up_by_any_path_they_had():
    assert counterpart("hops.experiment") == "hopslite.experiment"
    assert counterpart("hops.experiment.launch") == "hopslite.experiment.launch"
    assert counterpart("hops.experiment.never_was") == "hopslite.experiment.never_was"
    assert counterpart("maggy.experiment.experiment.lagom") == "hopslite.experiment.lagom"
    assert counterpart("maggy.optimizer.asha.Asha") == "hopslite.maggy.Asha"
    assert counterpart("maggy.core.exceptions.EarlyStopException") == "hopslite.errors.TrialStopped"
    assert counterpart("hops.experiment_impl.util") is None
    assert counterpart("numpy.linalg") is None
    assert lookup("hops.experiment") is None


# --- modules that hopslite does not have


@pytest.mark.parametrize(
    ("statement", "use", "advice"),
    [
        ("from hopslite import featurestore", "featurestore.get_featuregroup('f')", "hopslite has no featurestore"),
        ("from hopslite import featurestore, serving, kafka, tls, util, constants", "tls.get_key_store()", "cluster's"),
        ("import hopslite.kafka as k", "k.get_broker_endpoints()", "spark.readStream"),
        ("import hopslite.constants", "hopslite.constants.ENV_VARIABLES.HDFS_USER", "write the value itself"),
        ("from hopslite.serving import make_inference_request as ask", "ask('m', {})", "mlflow models serve"),
        ("from hopslite.xattr import *", "set_xattr('a', 'b', 'c')", "hopslite tag"),
        ("from hopslite import hdfs", "hdfs.log('text')", "call `print`"),
        ("from hopslite import experiment", "experiment.evolutionary_search(None, 1, {})", "differential_evolution"),
        ("from hopslite import tensorboard", "tensorboard.interactive_debugger()", "enable_dump_debug_info"),
        ("from hopslite import util", "util.send_request('GET', '/')", "no Hopsworks server"),
        (
            "from hopslite.maggy import AbstractOptimizer",
            "type('A', (), {}) and AbstractOptimizer()",
            "`ask` and `tell`",
        ),
    ],
)
def test_importing_what_is_gone_works_and_using_it_says_what_to_do(statement, use, advice):
    """In a fresh interpreter, so that nothing was imported before."""
    code = f"{statement}\nprint('imported')\n{use}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.stdout == "imported\n", done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("hopslite.errors.NotSupported: hopslite has no ")
    assert advice in last


def test_a_base_class_that_is_gone_says_so_at_the_class_statement():
    with pytest.raises(NotSupported, match="AbstractOptimizer"):
        exec("class Mine(maggy.AbstractOptimizer): pass", {"maggy": maggy})


def test_stand_ins_travel_with_a_function_and_take_no_part_in_what_python_asks_of_objects():
    from hopslite.exceptions import RestAPIError
    from hopslite.featurestore import get_featuregroup

    from hopslite import featurestore

    def uses() -> Any:
        try:
            return featurestore.get_featuregroup, get_featuregroup, RestAPIError
        except RestAPIError:
            return None

    code = "import pickle, sys; print(*pickle.load(sys.stdin.buffer)(), sep='; ')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=cloudpickle.dumps(uses),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout.decode().count("hopslite does not have") == 2, done.stderr
    assert pickle.loads(pickle.dumps(RestAPIError)) is RestAPIError
    assert not hasattr(get_featuregroup, "_repr_html_")
    with pytest.raises(AttributeError, match="no attribute 'never_was'; it has no feature store"):
        _ = featurestore.never_was
    assert importlib.util.find_spec("hopslite.featurestore")
    assert inspect.getdoc(featurestore)
    with pytest.raises(AttributeError, match="no attribute 'lunch'"):
        _ = experiment.lunch


def test_names_that_moved_are_found_where_they_were():
    from hopslite import errors, hdfs, model, serving, version

    assert serving.export is model.export
    assert util.abspath is hdfs.abs_path
    assert version.__version__ == hopslite.__version__
    assert maggy.optimizer.RandomSearch is maggy.RandomSearch
    assert maggy.experiment.lagom is experiment.lagom
    assert maggy.callbacks.KerasBatchEnd
    assert errors.NotSupported is NotSupported


# --- keywords of older versions


def grid(**keywords: Any) -> Any:
    return experiment.grid_search(**keywords, **HERE)


OLDER: list[tuple[str, Callable[..., Any], dict[str, Any], list[str]]] = [
    ("launch", experiment.launch, {"map_fun": one}, ["map_fun= is now train_fn="]),
    (
        "grid_search",
        experiment.grid_search,
        {"map_fun": train, "args_dict": {"lr": [1, 2]}, "versioned_resources": ["Jupyter/a.ipynb"]},
        ["map_fun= is now train_fn=", "args_dict= is now grid_dict=", "versioned_resources= has no effect"],
    ),
    (
        "random_search",
        experiment.random_search,
        {"map_fun": train, "boundary_dict": {"lr": [0.0, 1.0]}, "samples": 2},
        ["map_fun="],
    ),
    (
        "differential_evolution",
        experiment.differential_evolution,
        {
            "objective_function": train,
            "search_dict": {"lr": [0.0, 1.0]},
            "generations": 1,
            "population": 4,
            "cleanup_generations": True,
        },
        ["objective_function= is now train_fn=", "search_dict= is now boundary_dict=", "cleanup_generations= has no"],
    ),
    (
        "lagom",
        experiment.lagom,
        {"map_fun": train, "searchspace": maggy.Searchspace(lr=("DOUBLE", [0.0, 1.0])), "num_trials": 2},
        ["map_fun= is now train_fn="],
    ),
]


@pytest.mark.parametrize(("verb", "call", "keywords", "advice"), OLDER, ids=[case[0] for case in OLDER])
def test_older_keywords_work_with_one_line_at_the_callers_line(project, verb, call, keywords, advice):
    with pytest.warns(DeprecationWarning, match=rf"^experiment\.{verb}\(\): ") as caught:
        run = call(**keywords, **HERE)
    (line,) = caught
    assert Path(line.filename) == Path(__file__)
    assert all(text in str(line.message) for text in advice)
    assert getattr(run, "run", run).best_metric is not None or verb == "launch"


@pytest.mark.parametrize("verb", RENAMED)
def test_the_older_names_are_those_of_arguments_that_the_verb_has(verb):
    parameters = inspect.signature(getattr(experiment, verb)).parameters
    assert set(RENAMED[verb].values()) <= set(parameters)
    assert not (set(RENAMED[verb]) | set(UNUSED.get(verb, ()))) & set(parameters)


@pytest.mark.parametrize(
    ("call", "twice"),
    [
        (lambda: experiment.launch(one, map_fun=one, **HERE), "map_fun"),
        (lambda: experiment.launch(train_fn=one, map_fun=one, **HERE), "map_fun"),
        (lambda: experiment.launch(map_fun=one, objective_function=one, **HERE), "objective_function"),
        (lambda: grid(train_fn=train, grid_dict={"lr": [1]}, args_dict={"lr": [2]}), "args_dict"),
        (lambda: experiment.grid_search(train, {"lr": [1]}, args_dict={"lr": [2]}, **HERE), "args_dict"),
        (lambda: experiment.mirrored(one, map_fun=one), "map_fun"),
        (lambda: experiment.parameter_server(one, map_fun=one), "map_fun"),
        (lambda: experiment.lagom(one, map_fun=one, **HERE), "map_fun"),
    ],
)
def test_an_argument_under_both_names_is_an_error(project, call, twice):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidArguments, match=f"{twice} is the older name of .*; pass .* alone"):
            call()
    assert not Path(project).exists()


def test_a_verb_takes_no_keyword_that_it_never_had(project):
    with pytest.raises(InvalidArguments, match="unknown keyword cleanup_generations"):
        experiment.launch(one, cleanup_generations=True, **HERE)
    with pytest.raises(InvalidArguments, match="unknown keyword map_fun"):
        experiment.search(train, {"lr": [0.0, 1.0]}, map_fun=one, **HERE)


def test_the_line_is_seen_in_a_script_and_names_its_line(tmp_path):
    program = tmp_path / "old.py"
    program.write_text(
        "from hopslite import experiment\n\n\ndef train(lr):\n    return lr\n\n\n"
        "experiment.grid_search(\n    map_fun=train, args_dict={'lr': [1, 2]}, pool='inline', display=False\n)\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "DeprecationWarning" in line]
    assert line.startswith(f"{program}:8: DeprecationWarning: experiment.grid_search(): map_fun= is now train_fn=; ")


# --- hopslite.util, and the rest of hopslite.tensorboard


def test_grid_params_is_every_combination_in_columns(project):
    columns = util.grid_params({"lr": [1, 2], "depth": (3, 4, 3)})
    assert columns == {"lr": [1, 1, 1, 2, 2, 2], "depth": [3, 4, 3, 3, 4, 3]}
    run = experiment.launch(train, columns, **HERE)
    assert [trial.outputs["metric"] for trial in run.trials] == [3, 4, 3, 6, 8, 6]
    assert util.grid_params({}) == {}
    with pytest.raises(InvalidArguments, match=r"a is 'ab'; give a list of values(.|\n)*b is \[\](.|\n)*c is 3"):
        util.grid_params({"a": "ab", "b": [], "c": 3, "d": [1]})


def test_counts_come_from_the_environment(monkeypatch):
    monkeypatch.delenv("NUM_TF_PS", raising=False)
    monkeypatch.delenv("HOPSWORKS_JOB_NAME", raising=False)
    assert (util.num_param_servers(), util.get_job_name()) == (0, None)
    monkeypatch.setenv("NUM_TF_PS", "2")
    monkeypatch.setenv("HOPSWORKS_JOB_NAME", "nightly")
    assert (util.num_param_servers(), util.get_job_name()) == (2, "nightly")
    monkeypatch.setenv("NUM_TF_PS", "two")
    with pytest.raises(InvalidArguments, match="NUM_TF_PS='two'; set it to a whole number"):
        util.num_param_servers()


def test_a_trial_cannot_count_executors(project):
    def counts() -> float:
        try:
            return float(util.num_executors())
        except SparkUnavailable as error:
            return float("pass the number on" in str(error))

    _, outputs = experiment.launch(counts, **HERE)
    assert outputs["metric"] == 1


@pytest.mark.parametrize("local_logdir", [True, False])
def test_a_trial_knows_whether_its_log_directory_is_local(project, local_logdir):
    def asks() -> float:
        return float(tensorboard.local_logdir_bool)

    _, outputs = experiment.launch(asks, local_logdir=local_logdir, **HERE)
    assert outputs["metric"] == float(local_logdir)
    assert tensorboard.local_logdir_bool is False


def test_a_policy_of_maggys_classes(project):
    class Never(maggy.AbstractEarlyStop):
        pass

    from hopslite.maggy._stopping import PolicyStopper, stopper_of

    assert stopper_of(maggy.NoStoppingRule, 1, 1) is None
    assert repr(stopper_of(maggy.MedianStoppingRule, 1, 5)) == repr(stopper_of("median", 1, 5))
    assert isinstance(stopper_of(Never, 1, 1), PolicyStopper)
