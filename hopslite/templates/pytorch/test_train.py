"""Tests of train.py: python -m pytest"""

import train

SETTINGS = {"lr": 0.01, "channels": 8, "dropout": 0.1}


def test_it_learns(tmp_path):
    *_, (_, _, loss, accuracy) = train.train(epochs=3, checkpoint=str(tmp_path / "state.pt"), **SETTINGS)
    assert loss < 0.6
    assert accuracy > 0.8


def test_it_goes_on_from_its_checkpoint(tmp_path):
    checkpoint = str(tmp_path / "state.pt")
    steps = train.train(epochs=3, checkpoint=checkpoint, **SETTINGS)
    next(steps)
    steps.close()  # as if it had been killed
    assert [epoch for epoch, *_ in train.train(epochs=3, checkpoint=checkpoint, **SETTINGS)] == [2, 3]
    assert [epoch for epoch, *_ in train.train(epochs=3, checkpoint=checkpoint, **SETTINGS)] == [3]
