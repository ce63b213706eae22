"""Tests of train.py: python -m pytest"""

import json

import digits
import keras
import pytest
import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return digits.write(str(tmp_path_factory.mktemp("data") / "digits"))


def test_it_learns_and_keeps_its_results(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOPSLITE_OUTPUT", str(tmp_path))
    train.main(["--data", folder, "--num_epoch", "2", "--small_chunk", "2", "--lr", "0.003"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [line["value"] for line in lines if line["metric"] == "val_accuracy"][-1] > 0.6
    for name in ("accuracy.png", "loss.png", "confusion_matrix.png"):
        assert (tmp_path / name).stat().st_size > 1000
    assert keras.saving.load_model(tmp_path / "model.keras").output_shape == (None, 10)
    assert json.loads((tmp_path / "classes.json").read_text()) == list("0123456789")


@pytest.mark.parametrize("name", ["lenet", "vgg16"])
def test_networks_can_be_trained_with_less_memory(name):
    model = train.network(name, 3, "both", "recomputing")
    model.compile("adam", "sparse_categorical_crossentropy")
    height, width = train.NETWORKS[name]
    images = keras.random.uniform((2, height, width, 3), 0, 255, seed=0)
    assert model.train_on_batch(images, keras.ops.array([0, 2])) > 0
