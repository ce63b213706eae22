"""The command `train` up to where anything starts: checks, options, and where the best configuration goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from hopslite import configured, experiment, tensorboard
from hopslite.cli import main
from hopslite.cli.train import _write_best
from hopslite.configured._axes import collect_axes, substitute
from hopslite.configured._document import document_of
from hopslite.configured._training import as_json
from hopslite.errors import InvalidConfiguration

CYCLE: dict[str, Any] = {
    "datasets": {"hopslite.configured.datasets.digits": {}},
    "model": {"hopslite.configured.OneHeadNet": {"num_outputs": 10}},
    "loss": {"keras.losses.SparseCategoricalCrossentropy": {"from_logits": True}},
}
SEARCH = {**CYCLE, "optimizer": {"keras.optimizers.Adam": {"learning_rate": {"$loguniform": [0.001, 0.1]}}}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "one.json").write_text(json.dumps([CYCLE]))
    (tmp_path / "search.json").write_text(json.dumps([SEARCH]))
    (tmp_path / "wrong.json").write_text(json.dumps([{**CYCLE, "model": {"os.system": {}}}], indent=1))
    (tmp_path / "best.json").write_text(json.dumps([SEARCH]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["one.json"], 0, "one.json: nothing is wrong that can be seen without Keras\n"),
        (["search.json"], 0, "; axes: learning_rate\n"),
        (["wrong.json"], 1, "error: wrong.json, line 7: cycle 1 > model > os.system: 'os.system' is not allowed"),
        (["none.json"], 1, "error: there is no configuration none.json"),
        (["one.json", "--best", "x.json"], 2, "--best is for a search"),
        (["best.json"], 1, "best.json is the configuration itself; give --best another file"),
        (["search.json", "--best", "none/x.json"], 1, "--best none/x.json: a file cannot be written there"),
        (["search.json", "--input", "train"], 2, "train"),
        (["search.json", "--import", "none.py"], 1, "imports: there is no Python file 'none.py'"),
        (["search.json", "--num-trials", "0"], 2, "--num-trials"),
        (["search.json", "--code", "."], 2, "No such option"),
    ],
)
def test_checks(folder: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, text: str) -> None:
    assert main(["train", *arguments, "--check"]) == code
    assert text in "".join(capfd.readouterr())
    assert not (folder / "hopslite_project").exists()


def test_options_are_those_of_the_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "data.npz").touch()
    calls = []

    def train(config: str, **keywords: Any) -> Any:
        calls.append((config, keywords))
        raise SystemExit(0)

    monkeypatch.setattr(configured, "train", train)
    words = "--algorithm tpe --num-trials 4 --stopper asha --seed 1 --max-failures 2 --metric val_acc --gpu 0.5"
    more = "--input train=data.npz --allow my_package --tag a=b --verbose --message text --direction max"
    with pytest.raises(SystemExit):
        main(["--project", "there", "train", "search.json", *words.split(), *more.split()])
    config, keywords = calls[0]
    assert config == "search.json" and keywords.pop("project").endswith("there")
    assert keywords == {
        "algorithm": "tpe", "num_trials": 4, "stopper": "asha", "seed": 1, "max_failures": 2, "metric": "val_acc",
        "gpus_per_trial": 0.5, "inputs": {"train": str(folder / "data.npz")}, "allow": ("my_package",), "imports": (),
        "tags": {"command": "hopslite train search.json", "a": "b"}, "verbose": True, "description": "text",
        "direction": "max",
    }  # fmt: skip


SECRET = {
    **SEARCH,
    "model": {"hopslite.configured.OneHeadNet": {"num_outputs": {"$choice": [10, 20]}}},
    "callbacks": [
        {"keras.callbacks.RemoteMonitor": {"root": "https://me:hunter2@host/x", "headers": {"token": "s3cret"}}}
    ],
}


def searched(config: str) -> experiment.Run:
    """A search whose trials record their configurations as those of `train` do, without Keras."""
    document = document_of(config)
    axes, _ = collect_axes(document)

    def train(**params: Any) -> float:
        Path(str(tensorboard.logdir()), "config.json").write_bytes(as_json(substitute(document.values, axes, params)))
        return float(params["learning_rate"])

    return experiment.search(train, axes.dimensions, num_trials=3, seed=1, pool="inline", display=False)


def test_the_best_configuration_has_the_secrets_of_the_searched_one(
    folder: Path, project: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "secret.json").write_text(json.dumps([SECRET]))
    run = searched("secret.json")
    assert "s3cret" not in json.dumps(configured.best_config(run))
    with runner("train"):
        _write_best(run, "best.json", "secret.json")
    [best] = json.loads((folder / "best.json").read_text())
    assert best["callbacks"] == SECRET["callbacks"]
    assert best["optimizer"]["keras.optimizers.Adam"]["learning_rate"] == run.best_params["learning_rate"]
    assert (folder / "best.json").stat().st_mode & 0o077 == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "best.json: it has the secret values of secret.json (cycle 1 > callbacks[0] >" in said
    loaded = experiment.load(run.run_id)
    assert configured.best_config(loaded, "secret.json") == [best]
    with pytest.raises(InvalidConfiguration, match=r"search\.json is another one than that of the run"):
        configured.best_config(run, "search.json")
    (folder / "record.json").write_text(json.dumps(configured.best_config(run)))
    assert main(["train", "record.json", "--check"]) == 1
    assert "headers > token: the value is secret, and so not in the record" in capfd.readouterr().err


@pytest.mark.parametrize("content", [b"[\xff]", b"{", b"[1]", b"alternatives", None])
def test_the_best_configuration_is_written_whatever_has_become_of_the_searched_one(
    content: bytes | None, folder: Path, project: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "secret.json").write_text(json.dumps([SECRET]))
    run = searched("secret.json")
    (folder / "secret.json").unlink()
    if content == b"alternatives":
        rate = {"$choice": [{"a": 1}, {"b": 2}], "$name": "learning_rate"}
        content = json.dumps([{**SECRET, "optimizer": {"keras.optimizers.Adam": {"learning_rate": rate}}}]).encode()
    if content is not None:
        (folder / "secret.json").write_bytes(content)
    with runner("train"):
        _write_best(run, "best.json", "secret.json")
    assert json.loads((folder / "best.json").read_text()) == configured.best_config(run)
    assert "write into it what is in no record: cycle 1 >" in " ".join(capfd.readouterr().out.split())


def runner(name: str) -> click.Context:
    """The context of a command, from which its output takes the project."""
    return click.Context(click.Command(name))
