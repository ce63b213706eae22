"""Tests of train.py: python -m pytest"""

import joblib
import train


def test_it_learns():
    model, validated, tested = train.train(C=10.0, gamma=0.05, kernel="rbf")
    assert validated > 0.95
    assert tested > 0.95
    assert model.predict([[0] * 64]).shape == (1,)


def test_the_model_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("HOPSLITE_OUTPUT", str(tmp_path))
    train.main(["--C", "1"])
    assert hasattr(joblib.load(tmp_path / "model.joblib"), "predict")
