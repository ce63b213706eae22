"""Configuration files: values, lines, and what is said about files that are none."""

# ruff: noqa: E501 - a case, or a line of a program, is read better in one line

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hopslite.configured._document import Document, document_of, shown_path
from hopslite.errors import InvalidArguments, InvalidConfiguration

JSON = """[
  {
    "model": {"keras.Sequential": {
      "layers": [
        {"keras.layers.Dense": {"units": 3}},
        {"keras.layers.Dense": {
          "units": 1e-3}}
      ]
    }},
    "text": "a\\nb",
    "empty": {}, "none": []
  },
  {}
]
"""
HJSON = """# first line
[
  {
    /* a block
       of two lines */
    model: { keras.Sequential: {
      layers: [
        { keras.layers.Dense: { units: 3 } }  // after a value
        { keras.layers.Dense: {
          units: 1e-3 } }
      ]
    } }
    text:
      '''
      a
      b
      '''
    empty: {}, none: []
  }
  {}
]
"""
YAML = """- model:
    keras.Sequential:
      layers:
        - keras.layers.Dense: {units: 3}
        - keras.layers.Dense:
            units: 1e-3
  text: "a\\nb"
  empty: {}
  none: []
- {}
"""
VALUES = [
    {
        "model": {"keras.Sequential": {"layers": [{"keras.layers.Dense": {"units": 3}}, {"keras.layers.Dense": {"units": 0.001}}]}},
        "text": "a\nb",
        "empty": {},
        "none": [],
    },
    {},
]  # fmt: skip
UNITS = (0, "model", "keras.Sequential", "layers", 1, "keras.layers.Dense", "units")


def read(folder: Path, name: str, text: str) -> Document:
    path = folder / name
    path.write_text(text)
    return document_of(path)


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("c.json", JSON, {UNITS: 7, (0, "text"): 10, (0, "none"): 11, (1,): 13}),
        ("c.hjson", HJSON, {UNITS: 10, (0, "text"): 14, (0, "none"): 18, (1,): 20}),
        ("c.yaml", YAML, {UNITS: 6, (0, "text"): 7, (0, "none"): 9, (1,): 10}),
    ],
)
def test_values_and_their_lines(tmp_path: Path, name: str, text: str, lines: dict[tuple[str | int, ...], int]) -> None:
    document = read(tmp_path, name, text)
    assert document.values == VALUES
    assert {path: document.lines[path] for path in lines} == lines
    assert document.place(UNITS) == (
        f"{tmp_path / name}, line {lines[UNITS]}: "
        "cycle 1 > model > keras.Sequential > layers[1] > keras.layers.Dense > units"
    )


MERGES = """\
- &base
  model: &model {units: 3, rate: 0.1}
  loss: mse
- <<: *base
  loss: mae
- <<: [{loss: a, extra: 1}, *base]
  model:
    <<: *model
    rate: 0.2
- {"<<": 1}
"""


def test_merge_keys_of_yaml(tmp_path: Path) -> None:
    document = read(tmp_path, "c.yaml", MERGES)
    model = {"units": 3, "rate": 0.1}
    assert document.values == [
        {"model": model, "loss": "mse"},
        {"model": model, "loss": "mae"},
        {"model": {"units": 3, "rate": 0.2}, "loss": "a", "extra": 1},
        {"<<": 1},
    ]
    lines = {(1, "loss"): 5, (1, "model"): 2, (2, "loss"): 6, (2, "model", "units"): 2, (2, "model", "rate"): 9}
    assert {path: document.lines[path] for path in lines} == lines


def test_merges_of_merges_stay_small(tmp_path: Path) -> None:
    text = "- &l0 {a: 1, b: 2}\n" + "".join(
        f"- &l{n} {{<<: [{', '.join(9 * [f'*l{n - 1}'])}]}}\n" for n in range(1, 40)
    )
    assert read(tmp_path, "c.yaml", text).values == 40 * [{"a": 1, "b": 2}]


def test_a_place_that_has_no_line_has_that_of_what_is_above(tmp_path: Path) -> None:
    document = read(tmp_path, "c.json", JSON)
    assert document.place((0, "text", "further")).startswith(f"{tmp_path / 'c.json'}, line 10:")
    assert document_of(VALUES).place((1,)) == "cycle 2"


def test_one_cycle_may_stand_alone(tmp_path: Path) -> None:
    document = read(tmp_path, "c.json", '{\n"model": {\n"A": {}}}')
    assert document.values == [{"model": {"A": {}}}]
    assert document.lines[0, "model", "A"] == 3


def test_json_with_comments_is_read_as_hjson(tmp_path: Path) -> None:
    document = read(tmp_path, "c.json", '[\n  # as in ktf\n  {"a": 1,}\n]')
    assert document.values == [{"a": 1}] and document.lines[0, "a"] == 3


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("c.json", '[\n{"a": 1,\n"b" 2}]', "c.json, line 3: this is not JSON"),
        ("c.json", '[{"a": 1,\n"b": 2, "a": 3}]', "c.json, line 2: 'a' is there twice"),
        ("c.json", "3", "a configuration is a list of cycles, each a mapping; given 3"),
        ("c.json", "[]", "a configuration is a list of cycles, each a mapping; given []"),
        ("c.json", "[" * 100_000, "c.json"),
        ("c.json", "[" * 500 + "]" * 500, "nested more deeply than 100 levels"),
        ("c.hjson", '[\n{"a": [1\n', "c.hjson, line 3: this is not Hjson"),
        ("c.hjson", "[\n{a: 1\nb: 2\na: 3}]", "c.hjson, line 4: 'a' is there twice"),
        ("c.yaml", "- a: [1,\n  b: 2", "this is not YAML"),
        ("c.yaml", "- a: 1\n  b: 2\n  a: 3", "c.yaml, line 3: this is not YAML: 'a' is there twice"),
        ("c.yaml", "- a: !!python/object/apply:os.system [ls]", "c.yaml, line 1: this is not YAML"),
        ("c.yaml", "- <<: 3\n  a: 1", "line 1: this is not YAML: << is followed by a mapping, or a list of mappings"),
        ("c.yaml", "- &a\n  <<: *a", "c.yaml, line 1: this is not YAML: <<: a mapping merges itself"),
        ("c.yaml", "- &a {b: 1}\n- <<: *a\n  c: 1\n  c: 2", "c.yaml, line 4: this is not YAML: 'c' is there twice"),
        ("c.yaml", "- a: 2026-01-31", "is a date; write a text in quotes"),
        ("c.yaml", "- ? [a]\n  : 1", "a name is a text"),
        ("c.yaml", "- &a [*a]", "nested more deeply than 100 levels"),
        ("c.yaml", "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9 if n else ['x'] * 9)}]\n" for n in range(12)), "more than 100000 values"),
        ("c.txt", "[]", "a configuration is a file in .json, .hjson, .yaml, .yml"),
        ("c.json", "\udcff", "this is not UTF-8"),
        ("c.json", f'[{{"a": {"1" * 5000}}}]', "c.json: a value cannot be read: Exceeds the limit"),
        ("c.hjson", f"[{{a: {'1' * 5000}\n}}]", "c.hjson: a value cannot be read: Exceeds the limit"),
        ("c.json", r'[{"a": "\ud800"}]', "c.json: a text has '\\ud800', which is no character"),
        ("c.yaml", "- a: \0", "this is not YAML: "),
        ("c.json", '[\n{"a" b}]\n/*', "c.json, line 2: this is not JSON"),
        ("c.hjson", "[{a: 1}] /*", "c.hjson: this is not Hjson: it ends within a comment or a text"),
    ],
)  # fmt: skip
def test_files_that_are_no_configurations(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidArguments) as caught:
        document_of(path)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([{"a": {1, 2}}], "cycle 1 > a: a value is a text, a number, a bool, None, a list or a mapping; given {1, 2} (set)"),
        ([{"a": {1: 2}}], "cycle 1 > a: a name is a text; given 1"),
        (None, "given None"),
        ("missing.json", "there is no configuration missing.json"),
    ],
)  # fmt: skip
def test_values_that_are_no_configurations(value: object, problem: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        document_of(value)
    assert problem in str(caught.value)


def test_values_of_a_program_are_copied() -> None:
    config = [{"size": (4, 4)}]
    document = document_of(config)
    assert document.values == [{"size": [4, 4]}]
    assert json.loads(json.dumps(document.values)) == document.values


def test_paths_for_people() -> None:
    assert shown_path(()) == ""
    assert shown_path((1, "metrics", 0, "keras.metrics.Mean")) == "cycle 2 > metrics[0] > keras.metrics.Mean"
