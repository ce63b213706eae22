"""Tests of train.py: python -m pytest"""

import json

import train


def test_it_learns():
    *_, (_, _, loss, accuracy) = train.train(lr=0.5, epochs=5, batch_size=32)
    assert loss < 0.5
    assert accuracy > 0.9


def test_it_reports_metrics_and_keeps_the_model(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOPSLITE_OUTPUT", str(tmp_path))
    train.main(["--epochs", "2"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["metric"], line["step"]) for line in lines] == [
        ("loss", 1),
        ("accuracy", 1),
        ("loss", 2),
        ("accuracy", 2),
    ]
    assert (tmp_path / "model.npz").exists()
