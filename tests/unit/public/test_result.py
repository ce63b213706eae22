"""The values that a verb returns."""

from __future__ import annotations

import copy
import datetime
import gc
import pickle
import tracemalloc

import pytest

from hopslite.core import formatting
from hopslite.core.types import Direction, Result, State
from hopslite.result import Run, Trial


def trial(number, metric=None, state=State.FINISHED, **more):
    more.setdefault("params", {"lr": number / 10})
    return Trial(id=f"{number:04d}", state=state, metric=metric, logdir=f"/p/trials/{number:04d}", **more)


def run(trials=(), best=None, **more):
    facts = {
        "is_search": True,
        "run_id": "20260101-000000-000-abcdef",
        "name": "digits",
        "version": 3,
        "verb": "grid_search",
        "logdir": "/p/run",
        "state": State.FINISHED,
        "direction": Direction.MAX,
        "optimization_key": "accuracy",
        "started_at": 1.5e9,
        "duration": 90061.0,
    }
    return Run(trials=trials, best_trial=best, **{**facts, **more})


@pytest.fixture
def search():
    trials = [
        trial(0, 0.5, outputs={"accuracy": 0.5}, started_at=1.5e9, duration=1.0),
        trial(1, 0.9, outputs={"accuracy": 0.9, "loss": 0.1}, started_at=1.5e9 + 1, duration=2.0),
        trial(2, None, State.FAILED, error="ValueError: no <data>", cause="exception"),
    ]
    return run(trials, trials[1], tensorboard_url=lambda: "http://127.0.0.1:6006", mlflow_run_id="abc")


class TestTuple:
    def test_a_search_unpacks_as_best_logdir_params_outputs(self, search):
        logdir, params, outputs = search
        assert (logdir, params, outputs) == ("/p/trials/0001", {"lr": 0.1}, {"accuracy": 0.9, "loss": 0.1})
        assert search == (logdir, params, outputs)
        assert search[0] == logdir
        assert search[-1] is outputs
        assert isinstance(search, tuple)

    def test_a_search_without_any_metric(self):
        assert run([trial(0, state=State.KILLED)], state=State.KILLED) == (None, None, None)

    def test_launch_unpacks_as_the_trials_logdir_and_outputs(self):
        assert run([trial(0, outputs={"a": 1})], is_search=False) == ("/p/trials/0000", {"a": 1})

    def test_launch_of_several_trials_has_no_outputs_of_its_own(self):
        assert run([trial(0, outputs={"a": 1}), trial(1, outputs={"a": 2})], is_search=False) == ("/p/run", None)

    def test_attributes(self, search):
        assert search.best_logdir == "/p/trials/0001"
        assert search.best_metric == 0.9
        assert search.best_params == {"lr": 0.1}
        assert search.best_outputs == {"accuracy": 0.9, "loss": 0.1}
        assert search.counts == {State.FINISHED: 2, State.FAILED: 1}
        assert search.started == datetime.datetime(2017, 7, 14, 2, 40, tzinfo=datetime.timezone.utc)
        assert [t.id for t in search.trials] == ["0000", "0001", "0002"]

    def test_it_is_read_only(self, search):
        with pytest.raises(AttributeError, match=r"read-only.*'state'"):
            search.state = State.FAILED
        with pytest.raises(AttributeError, match="read-only"):
            del search.trials

    def test_urls_are_asked_for_when_they_are_wanted(self):
        found = []
        late = run(mlflow_run_id=lambda: found[0] if found else None)
        assert late.mlflow_run_id is None
        found.append("abc")
        assert late.mlflow_run_id == "abc"
        assert late.tensorboard_url is None

    @pytest.mark.parametrize("clone", [lambda r: pickle.loads(pickle.dumps(r)), copy.copy, copy.deepcopy])
    def test_pickle_and_copy(self, search, clone):
        same = clone(search)
        assert type(same) is Run
        assert same == search
        assert same.trials == search.trials
        assert same.best_trial == search.best_trial
        assert same.tensorboard_url == "http://127.0.0.1:6006"
        assert same.mlflow_run_id == "abc"
        assert vars(same).keys() == vars(search).keys()


class TestTrial:
    def test_from_result(self):
        result = Result("0007", State.FINISHED, 0.5, {"a": 0.5}, started=1.5e9, duration=3.0, host="h", warnings=("w",))
        made = Trial.from_result(result, params={"x": 1}, logdir="/l", generation=2)
        assert (made.id, made.state, made.metric, made.outputs) == ("0007", State.FINISHED, 0.5, {"a": 0.5})
        assert (made.params, made.logdir, made.generation, made.host) == ({"x": 1}, "/l", 2, "h")
        assert made.started == datetime.datetime(2017, 7, 14, 2, 40, tzinfo=datetime.timezone.utc)
        assert made.warnings == ("w",)

    def test_a_trial_that_never_began_has_no_start(self):
        made = Trial.from_result(Result("0000", State.KILLED), params={}, logdir="")
        assert made.started is None

    def test_it_is_frozen_and_hashable(self):
        made = trial(1, 0.5)
        with pytest.raises(AttributeError):
            made.metric = 1.0
        assert {made, trial(1, 0.5)} == {made}

    def test_ten_thousand_fit_in_well_under_two_kilobytes_each(self):
        def result(i):  # texts made anew for each, as they come from JSON
            outputs = {"".join(["accu", "racy"]): i / 7, "".join(["lo", "ss"]): i / 3}
            trace = "".join(["Traceback\n", "  File ...\n" * 300])
            usage = {"".join(["cpu_", name]): i * 1.5 for name in ("mean", "max", "seconds")}
            return Result(
                f"{i:04d}", State.FAILED, i / 3, outputs, "".join(["E: ", "x" * 80]), "exception", trace,
                1e9 + i, i / 9, "".join(["ho", "st"]), (), usage,
            )  # fmt: skip

        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            kept = [
                Trial.from_result(result(i), params={"lr": i * 0.1, "depth": i}, logdir=f"/project/Experiments/r/{i}")
                for i in range(10_000)
            ]
            gc.collect()
            each = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
        finally:
            tracemalloc.stop()
        assert each < 1600


class TestPandas:
    def test_rows_and_columns(self, search):
        frame = search.to_pandas()
        assert list(frame.columns) == [
            "id", "state", "metric", "lr", "outputs.accuracy", "outputs.loss", "error", "started", "duration", "logdir",
        ]  # fmt: skip
        assert frame["id"].tolist() == ["0000", "0001", "0002"]
        assert frame["state"].tolist() == ["FINISHED", "FINISHED", "FAILED"]
        assert frame["metric"].dtype == "float64"
        assert frame["metric"].isna().tolist() == [False, False, True]
        assert frame["outputs.loss"].tolist()[1] == 0.1
        assert frame["started"][1] == search.trials[1].started
        assert frame["started"].isna().tolist() == [False, False, True]
        assert frame.loc[frame["metric"].idxmax(), "lr"] == 0.1

    def test_parameters_with_the_names_of_columns(self):
        params = {"state": "CA", "params.state": 1, "outputs.a": 2, "generation": 3}
        frame = run([trial(0, 1.0, params=params, outputs={"a": 5})]).to_pandas()
        assert frame["state"].tolist() == ["FINISHED"]
        assert frame["params.state"].tolist() == ["CA"]
        assert frame["params.params.state"].tolist() == [1]
        assert frame["outputs.a"].tolist() == [5]
        assert frame["params.outputs.a"].tolist() == [2]
        assert frame["params.generation"].tolist() == [3]

    def test_generations_and_values_of_any_kind(self):
        layers = [{"layers": [1, 2]}, {"layers": {"a": 1}}]
        frame = run([trial(0, params=layers[0], generation=0), trial(1, params=layers[1])]).to_pandas()
        assert frame["layers"].tolist() == [[1, 2], {"a": 1}]
        assert frame["generation"].isna().tolist() == [False, True]

    def test_no_trials(self):
        frame = run().to_pandas()
        assert len(frame) == 0
        assert "metric" in frame


class TestShown:
    def test_repr(self, search):
        assert repr(search) == (
            "digits version 3: grid_search, FINISHED\n"
            "  trials: 2 finished, 1 failed\n"
            "  best: accuracy = 0.9 (trial 0001)\n"
            "  best params: lr=0.1\n"
            "  duration: 1 d 01 h\n"
            "  logdir: /p/run"
        )

    def test_repr_of_a_launch_without_a_metric(self):
        shown = repr(run([trial(0, params={}, outputs={"a": 1})], is_search=False, verb="launch", direction=None))
        assert "best" not in shown
        assert "None" not in shown
        assert "outputs: a=1" in shown

    def test_repr_of_a_killed_run_says_why(self):
        assert "error: interrupted" in repr(run(state=State.KILLED, error="interrupted\n"))

    def test_html_marks_the_best_first_and_shows_errors(self, search):
        shown = search._repr_html_()
        assert shown.index("0001 ★") < shown.index(">0000<") < shown.index(">0002<")
        assert "ValueError: no &lt;data&gt;" in shown
        assert shown.count("<tr") == 4

    def test_html_escapes_everything_that_users_choose(self):
        nasty = "<script>alert('&')</script>"
        bad = trial(0, state=State.FAILED, params={nasty: nasty}, error=nasty)
        good = trial(1, 1.0, params={nasty: nasty})
        shown = run([bad, good], good, name=nasty, logdir=nasty, error=nasty, optimization_key=nasty)._repr_html_()
        assert "<script" not in shown
        assert shown.count("&lt;script&gt;") >= 7

    def test_html_has_fifty_rows_at_most_and_failures_among_them(self):
        trials = [trial(i, float(i)) for i in range(100)] + [trial(100 + i, state=State.FAILED) for i in range(5)]
        shown = run(trials, trials[99])._repr_html_()
        assert shown.count("<tr") == 51
        assert "and 55 more" in shown
        assert "0099 ★" in shown
        assert all(f">010{i}<" in shown for i in range(3))


class TestFormat:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (None, ""),
            (float("nan"), ""),
            (0, "0.0 s"),
            (0.0042, "4 ms"),
            (1.25, "1.2 s"),
            (9.96, "10 s"),
            (59.6, "1 min 00 s"),
            (725, "12 min 05 s"),
            (3599.7, "1 h 00 min"),
            (86399.9, "1 d 00 h"),
            (90061, "1 d 01 h"),
            (12 * 86400 + 3 * 3600, "12 d 03 h"),
        ],
    )
    def test_duration(self, seconds, text):
        assert formatting.duration(seconds) == text

    @pytest.mark.parametrize(
        ("number", "text"),
        [(None, ""), (1.0, "1"), (0.93333333, "0.933333"), (1234567.0, "1234567"), (1e-9, "1e-09"), (-0.5, "-0.5")],
    )
    def test_metric(self, number, text):
        assert formatting.metric(number) == text

    def test_params(self):
        import numpy as np

        given = {"lr": np.float64(1 / 3), "n": np.int64(3), "on": True, "f": len, "name": "a\nb", "long": "x" * 99}
        assert formatting.params(given) == f"lr=0.333333, n=3, on=True, f=len, name=a b, long={'x' * 39}…"
        assert (
            formatting.exact_params({"lr": np.float64(1 / 3), "n": np.int64(3), "s": "a"})
            == f"lr={1 / 3!r}, n=3, s='a'"
        )

    def test_one_line_drops_colours_and_control_characters(self):
        assert formatting.one_line("\x1b[31mred\x1b[0m\n  tab\tbell\x07") == "red tab bell"
        assert formatting.one_line("abcdef", 4) == "abc…"

    def test_rank_puts_the_better_first_and_keeps_the_order_of_equals(self):
        trials = [trial(0), trial(1, 2.0), trial(2, 1.0), trial(3, 2.0)]
        assert [t.id for t in formatting.rank(trials, Direction.MAX)] == ["0001", "0003", "0002", "0000"]
        assert [t.id for t in formatting.rank(trials, Direction.MIN)] == ["0002", "0001", "0003", "0000"]
        assert [t.id for t in formatting.rank(trials, None)] == ["0000", "0001", "0002", "0003"]
