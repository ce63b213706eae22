"""Tests of train.py: python -m pytest"""

import json

import keras
import train


def test_it_learns_reports_and_keeps_the_model(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOPSLITE_OUTPUT", str(tmp_path))
    train.main(["--epochs", "3", "--lr", "0.01"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    accuracy = [line["value"] for line in lines if line["metric"] == "val_accuracy"]
    assert len(accuracy) == 3
    assert accuracy[-1] > 0.9
    assert keras.saving.load_model(tmp_path / "model.keras").output_shape == (None, 10)
