"""The search space as a table in Markdown."""

from __future__ import annotations

from hopslite import space
from hopslite.space import Space
from hopslite.track._space_table import LONGEST, space_table


def test_every_kind_of_hyperparameter() -> None:
    spaces = {
        "lr": space.loguniform(1e-4, 0.1),
        "dropout": [0.0, 0.5],
        "units": space.integer(16, 128, step=16),
        "width": space.integer(1, 100, log=True),
        "act": space.choice(["relu", "ta|nh"], weights=[1, 3]),
        "layers": space.grid([1, 2]),
        "noise": space.normal(0, 1, low=-2),
        "momentum": space.when("act", "relu", [0.1, 0.9]),
    }
    assert space_table(Space.parse(spaces).to_json()).splitlines() == [
        "| parameter | values | distribution | only with |",
        "| --- | --- | --- | --- |",
        "| lr | 0.0001 to 0.1 | logarithmic |  |",
        "| dropout | 0 to 0.5 | uniform |  |",
        "| units | 16 to 128 in steps of 16 | integers |  |",
        "| width | 1 to 100 | logarithmic, integers |  |",
        r"| act | relu, ta\|nh | choice, weights 0.25, 0.75 |  |",
        "| layers | 1, 2 | all values |  |",
        "| noise | mean 0, standard deviation 1, at least -2 | normal |  |",
        "| momentum | 0.1 to 0.9 | uniform | act = relu |",
    ]


def test_a_large_space_leaves_room_for_a_note() -> None:
    table = space_table({f"x{number}": {"type": "uniform", "low": 0, "high": 1} for number in range(500)})
    assert len(table) < LONGEST + 100
    assert table.splitlines()[-1].startswith("and ")
    assert len([line for line in table.splitlines() if line.startswith("| x")]) + int(table.split()[-2]) == 500


def test_none_without_a_space_and_text_of_others_stays_text() -> None:
    assert space_table(None) == space_table({}) == space_table([1]) == ""
    assert space_table({"<b>*x*</b>": "damaged"}).splitlines()[-1].startswith(r"| \<b\>\*x\*\</b\> |")
