"""From what a training function returns to a metric, recorded values and kept files."""

from __future__ import annotations

import decimal
import fractions
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hopslite.errors import ReturnValueError
from hopslite.executor.outputs import Outputs, check_finite, keep_files, read_outputs, to_number, write_json


class Tensor:
    """Quacks like a framework's 0-d tensor: no `item`, a `numpy` method, a shape."""

    def __init__(self, value: Any) -> None:
        self._value = np.asarray(value)
        self.shape = self._value.shape

    def numpy(self) -> Any:
        return self._value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (0, 0),
        (-2.5, -2.5),
        (np.float32(0.5), 0.5),
        (np.int64(-7), -7),
        (np.array(3.0), 3.0),
        (Tensor(0.25), 0.25),
        (fractions.Fraction(1, 4), 0.25),
        (decimal.Decimal("0.5"), 0.5),
    ],
)
def test_any_real_number_is_a_metric(value: Any, expected: float) -> None:
    for returned in (value, {"metric": value}, {"accuracy": value, "note": "x"}):
        outputs = read_outputs(returned, "metric", needs_metric=True)
        assert outputs.metric == expected
        assert type(outputs.metric) is float


@pytest.mark.parametrize(
    "value", [None, True, np.bool_(True), "0.5", [1.0], (1,), np.array([1.0]), Tensor([1.0, 2.0]), 1j, b"1", object()]
)
def test_what_is_no_real_number_is_no_metric(value: Any) -> None:
    assert to_number(value) is None
    for returned in (value, {"metric": value}):
        with pytest.raises(ReturnValueError, match="number"):
            read_outputs(returned, "metric", needs_metric=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float64("nan")])
def test_a_metric_that_cannot_be_compared_is_told(value: float) -> None:
    outputs = read_outputs({"loss": value}, "loss", needs_metric=True)
    problem = check_finite(outputs, "loss")
    assert problem is not None
    assert "loss" in problem
    assert str(float(value)) in problem
    assert check_finite(Outputs(0.0, {}, {}), "loss") is None


def test_a_dict_with_several_numbers_needs_the_key() -> None:
    returned = {"accuracy": 0.9, "loss": 0.1, "note": "fine"}
    assert read_outputs(returned, "loss", needs_metric=True).metric == 0.1
    with pytest.raises(ReturnValueError) as caught:
        read_outputs(returned, "metric", needs_metric=True)
    for word in ("'accuracy'", "'loss'", "optimization_key"):
        assert word in str(caught.value)


def test_a_dict_with_one_number_needs_no_key() -> None:
    assert read_outputs({"accuracy": 0.9, "note": "fine"}, "metric", needs_metric=True).metric == 0.9


def test_a_key_that_was_given_must_be_there() -> None:
    with pytest.raises(ReturnValueError, match="'auc'"):
        read_outputs({"accuracy": 0.9}, "auc", needs_metric=True)
    with pytest.raises(ReturnValueError, match="'note'"):
        read_outputs({"note": "fine", "accuracy": 0.9}, "note", needs_metric=True)


@pytest.mark.parametrize("needs_metric", [True, False])
def test_a_number_is_the_metric_whatever_its_key(needs_metric: bool) -> None:
    outputs = read_outputs(np.float32(0.5), "accuracy", needs_metric)
    assert (outputs.metric, outputs.values) == (0.5, {"accuracy": 0.5})
    if needs_metric:
        with pytest.raises(ReturnValueError, match="returned str 'text'"):
            read_outputs("text", "accuracy", needs_metric)
    else:
        assert read_outputs("text", "accuracy", needs_metric).values == {"metric": "text"}


def test_an_empty_dict_is_refused_in_searches() -> None:
    with pytest.raises(ReturnValueError, match="empty"):
        read_outputs({}, "metric", needs_metric=True)


@pytest.mark.parametrize("returned", [None, [1, 2], "text", {}, 3, {"a": None}, object()])
def test_launch_takes_anything(returned: Any) -> None:
    outputs = read_outputs(returned, None, needs_metric=False)
    assert outputs.metric == (3.0 if returned == 3 else None)
    if not isinstance(returned, dict):
        assert set(outputs.values) == {"metric"}  # as HopsML recorded it
    json.dumps(outputs.values)


def test_values_keep_their_kind_in_the_record() -> None:
    returned = {
        "metric": np.float32(0.5),
        "whole": np.int64(3),
        "text": "a/b",
        "empty": "",
        "none": None,
        "yes": True,
        "array": np.array([[1, 2], [3, 4]]),
        "tensor": Tensor([1.5]),
        "nested": {"a": (1, np.float64(2.0))},
        7: "a key that is no text",
    }
    values = read_outputs(returned, "metric", needs_metric=True).values
    assert json.loads(json.dumps(values)) == {
        "metric": 0.5,
        "whole": 3,
        "text": "a/b",
        "empty": "",
        "none": None,
        "yes": True,
        "array": [[1, 2], [3, 4]],
        "tensor": [1.5],
        "nested": {"a": [1, 2.0]},
        "7": "a key that is no text",
    }
    assert type(values["whole"]) is int


def test_a_float_keeps_all_its_digits() -> None:
    assert read_outputs({"metric": math.pi}, "metric", needs_metric=True).values["metric"] == math.pi


class TestFiles:
    @pytest.fixture(autouse=True)
    def inside(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "cwd").mkdir()
        (tmp_path / "trial").mkdir()
        monkeypatch.chdir(tmp_path / "cwd")

    def keep(self, tmp_path: Path, returned: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        outputs = read_outputs(returned, "metric", needs_metric=True)
        kept = keep_files(outputs, str(tmp_path / "trial"), lambda name: f"kept/{name}")
        return outputs.values, kept

    def test_a_file_is_copied_and_the_original_stays(self, tmp_path: Path) -> None:
        Path("plot.png").write_bytes(b"picture")
        values, kept = self.keep(tmp_path, {"metric": 1, "plot": "plot.png", "same": Path("plot.png")})
        assert values["plot"] == "kept/plot.png"
        assert "plot.png" in kept
        assert (tmp_path / "trial" / "plot.png").read_bytes() == b"picture"
        assert Path("plot.png").read_bytes() == b"picture"

    def test_two_files_of_one_name_are_both_kept(self, tmp_path: Path) -> None:
        for folder in ("a", "b"):
            Path(folder).mkdir()
            Path(folder, "log.txt").write_text(folder)
        values, kept = self.keep(tmp_path, {"metric": 1, "first": "a/log.txt", "second": "b/log.txt"})
        assert len(set(kept)) == 2
        texts = {key: (tmp_path / "trial" / Path(values[key]).name).read_text() for key in ("first", "second")}
        assert texts == {"first": "a", "second": "b"}

    def test_a_file_never_replaces_a_record(self, tmp_path: Path) -> None:
        (tmp_path / "trial" / "output.log").write_text("the log")
        Path("output.log").write_text("the user's")
        values, _ = self.keep(tmp_path, {"metric": 1, "notes": "output.log"})
        assert (tmp_path / "trial" / "output.log").read_text() == "the log"
        assert (tmp_path / "trial" / Path(values["notes"]).name).read_text() == "the user's"

    def test_a_file_already_in_the_trials_directory_stays_there(self, tmp_path: Path) -> None:
        inside = tmp_path / "trial" / "model.bin"
        inside.write_bytes(b"weights")
        values, kept = self.keep(tmp_path, {"metric": 1, "model": str(inside)})
        assert (values["model"], kept) == ("kept/model.bin", ["model.bin"])
        assert inside.read_bytes() == b"weights"

    @pytest.mark.parametrize("text", ["no/such/file", "", ".", "/", "x" * 10_000, "a\0b", "plot", "line\nbreak"])
    def test_other_texts_stay_texts(self, tmp_path: Path, text: str) -> None:
        values, kept = self.keep(tmp_path, {"metric": 1, "note": text})
        assert (values["note"], kept) == (text, [])


def test_json_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(str(path), {"a": 1})
    write_json(str(path), {"b": object})
    assert list(json.loads(path.read_text())) == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
