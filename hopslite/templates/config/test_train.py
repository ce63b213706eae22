"""Tests of config.hjson and train.py: python -m pytest"""

import json

import train


def test_it_learns_reports_and_keeps_the_model(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOPSLITE_OUTPUT", str(tmp_path))
    outputs = train.main(["--num_epochs", "3", "--learning_rate", "0.01"])
    assert outputs["val_accuracy"] > 0.8
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"metric"')]
    assert [line["step"] for line in lines if line["metric"] == "val_accuracy"] == [1, 2, 3]
    assert {path.name for path in tmp_path.iterdir()} >= {"model.keras", "config.json"}
