"""Variables of a training function that cannot work in a trial, or are large, are said by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pyspark import Accumulator, Broadcast, SparkContext
from pyspark.rdd import RDD
from pyspark.sql import Column, DataFrame, SparkSession

from hopslite import experiment
from hopslite.errors import NotSerializable
from hopslite.serialization.captured_variables import large_variables, refuse_spark_objects
from hopslite.serialization.values import serialize


def of(kind: type) -> Any:
    """An object of Spark's as far as its type goes: none of these needs a JVM to be recognised."""
    return object.__new__(kind)


class Frames:
    def __init__(self, frame: Any) -> None:
        self.frame = frame

    def __call__(self, x: int) -> int:
        return int(self.frame.count())

    def method(self, x: int) -> int:
        return int(self.frame.count())


SESSION, FRAME = of(SparkSession), of(DataFrame)


def uses_a_global(x: int) -> int:
    return int(SESSION.range(x).count())


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (DataFrame, ["toPandas()", "inputs="]),
        (RDD, ["collect()", "inputs="]),
        (SparkSession, ["there is none in a trial", "toPandas()", "inputs="]),
        (SparkContext, ["there is none in a trial"]),
        (Accumulator, ["would stay 0", "hopslite.report"]),
        (Column, ["plain values"]),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_an_object_of_sparks_is_refused_by_name(kind: type, advice: list[str], deep: bool) -> None:
    data = {"deep": [of(kind)]} if deep else of(kind)

    def train(x: int) -> int:
        return len(data)

    with pytest.raises(NotSerializable) as caught:
        refuse_spark_objects(train, [])
    text = str(caught.value)
    assert "the variable 'data' of the enclosing function" in text
    assert ("holds a" if deep else "is a") in text
    assert all(words in text for words in advice)


def indirect() -> Callable[..., Any]:
    frame = of(DataFrame)

    def helper() -> int:
        return int(frame.count())

    return lambda x: helper() + x


@pytest.mark.parametrize(
    ("train", "name"),
    [
        (uses_a_global, "the global variable 'SESSION'"),
        (indirect(), "the variable 'frame' of the enclosing function of indirect.<locals>.helper()"),
        (functools.partial(lambda frame, x: x, of(DataFrame)), "an argument of functools.partial"),
        (Frames(of(DataFrame)), "the attribute 'frame' of Frames"),
        (Frames(of(DataFrame)).method, "the object whose method method() is"),
        (lambda x, frame=FRAME: x, "the default of argument 'frame'"),
    ],
)
def test_wherever_it_is(train: Callable[..., Any], name: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        refuse_spark_objects(train, [])
    assert name in str(caught.value)


def test_plain_values_of_sparks_packages_travel() -> None:
    from pyspark.ml.linalg import Vectors
    from pyspark.sql.types import IntegerType, StructType

    vector, kind = Vectors.dense([1.0]), StructType().add("a", IntegerType())
    shared = of(Broadcast)  # its value travels with the task
    refuse_spark_objects(lambda x: (vector, kind, shared), [])


def test_nothing_has_been_started(project: str) -> None:
    frame = of(DataFrame)
    with pytest.raises(NotSerializable, match=r"'frame'.*toPandas"):
        experiment.grid_search(lambda x: frame.count(), {"x": [1]}, display=False)
    shared = of(Broadcast)
    shared._jbroadcast = shared._pickle_registry = None
    with pytest.raises(NotSerializable):
        experiment.grid_search(lambda x: shared.value, {"x": [1]}, display=False)


def test_what_is_large_is_named_with_its_size() -> None:
    images, names = np.zeros(51 << 17), ["a"] * 10

    def train(x: int) -> int:
        return len(images) + len(names)

    line = large_variables(train, [], len(serialize(train, [])))
    assert line is not None
    assert "sends 51 MB to every slot" in line
    assert "the variable 'images' of the enclosing function (numpy.ndarray) 51 MB" in line
    assert "inputs=" in line
    assert "'names'" not in line
    assert large_variables(train, [], 50 << 20) is None
