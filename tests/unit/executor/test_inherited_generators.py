"""Trials that are forked from one process draw numbers of their own, from every library that they may find imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.helpers import ROOT

# Forks two processes after the imports, as the fork server does, and prints what each of them draws, by name.
FORKS = """
import json, os, sys, types
from hopslite.executor.inherited_generators import InheritedGenerators

{imports}
library = sys.modules["library"] = types.ModuleType("library")
{library}
draws = {{}}
def draws_numbers(function):
    draws[function.__name__] = function
    return function
{draws}
generators = InheritedGenerators()
generators.find()
for _ in range(2):
    if os.fork() == 0:
        generators.reseed()
        {seed}
        print(json.dumps({{name: repr(draw()) for name, draw in draws.items()}}), flush=True)
        os._exit(0)
    os.wait()
"""


def drawn(imports: str, draws: Mapping[str, str], library: str = "", seed: str = "pass") -> list[dict[str, Any]]:
    functions = "".join(f"@draws_numbers\ndef {name}():\n    {body}\n" for name, body in draws.items())
    program = FORKS.format(imports=imports, library=library, draws=functions, seed=seed)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def assert_all_differ(imports: str, draws: Mapping[str, str], library: str = "") -> None:
    first, second = drawn(imports, draws, library)
    assert first.keys() == second.keys() == draws.keys()
    assert not [name for name in draws if first[name] == second[name]]


STANDARD = {
    "of_random": "return random.random()",
    "of_tempfile": "return next(tempfile._get_candidate_names())",
    "of_uuid": "return uuid.uuid4(), uuid.uuid1()",
    "of_secrets": "return secrets.token_hex(8)",
    "of_a_library": "return library.generator.random()",
    "of_a_subclass": "return library.of_a_subclass.random()",
}


def test_of_the_standard_library() -> None:
    assert_all_differ(
        "import random, secrets, tempfile, uuid\nnext(tempfile._get_candidate_names())",
        STANDARD,
        "class Own(random.Random):\n    pass\nlibrary.generator, library.of_a_subclass = random.Random(1), Own(1)",
    )


NUMPY = {
    "global_state": "return numpy.random.rand()",
    "integers": "return numpy.random.randint(1 << 30)",
    "a_librarys_generator": "return library.generator.random()",
    "a_librarys_bit_generator": "return library.bits.random_raw()",
    "a_librarys_random_state": "return library.state.rand()",
    "of_scipy": "return scipy.stats.norm.rvs()",
    "of_scipy_sparse": "return scipy.sparse.random(50, 50, 0.5).toarray().sum()",
    "of_scikit_learn": "return shuffle(list(range(1000))), check_random_state(None).rand()",
    "of_a_forest": "return RandomForestRegressor(3).fit(x, x[:, 0]).predict(x)",
    "of_pandas": "return list(pandas.Series(range(1000)).sample(frac=1))",
}


def test_of_numpy_and_what_is_built_on_it() -> None:
    assert_all_differ(
        "import numpy, pandas, scipy.sparse, scipy.stats\nfrom sklearn.ensemble import RandomForestRegressor\n"
        "from sklearn.utils import check_random_state, shuffle\nx = numpy.arange(300.0).reshape(100, 3)",
        NUMPY,
        "library.generator, library.state = numpy.random.default_rng(1), numpy.random.RandomState(1)\n"
        "library.bits = numpy.random.PCG64(1)",
    )


TENSORFLOW = {
    "normal": "return tf.random.normal((2,)).numpy()",
    "global_generator": "return tf.random.get_global_generator().normal((2,)).numpy()",
    "order": "return list(tf.data.Dataset.range(1000).shuffle(1000).as_numpy_iterator())",
    "dropout": "return keras.layers.Dropout(0.5)(tf.ones((1, 200)), training=True).numpy()",
}
WEIGHTS = """
def first_weights(keras):
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    return layer.get_weights()[0]
"""


@pytest.mark.parametrize("imports", ["import keras", "import tf_keras as keras"])
def test_of_tensorflow(imports: str) -> None:
    draws = {**TENSORFLOW, "weights": "return first_weights(keras)"}
    assert_all_differ(f"import tensorflow as tf\n{imports}\n{WEIGHTS}", draws)


TORCH = {
    "uniform": "return torch.rand(2)",
    "permutation": "return torch.randperm(1000)",
    "weights": "return torch.nn.Linear(3, 3).weight.detach()",
    "dropout": "return torch.nn.functional.dropout(torch.ones(200), 0.5)",
    "order": "return list(torch.utils.data.DataLoader(range(1000), shuffle=True))",
    "split": "return torch.utils.data.random_split(range(1000), [500, 500])[0].indices",
    "a_librarys_generator": "return torch.rand(2, generator=library.generator)",
}
IMPORT_TORCH = "import torch, torch.utils.data"
GENERATOR = "library.generator = torch.Generator().manual_seed(1)"


@pytest.mark.slow("frameworks")
def test_of_pytorch() -> None:
    assert_all_differ(IMPORT_TORCH, TORCH, GENERATOR)


@pytest.mark.slow("frameworks")
def test_a_seed_that_the_trial_sets_for_pytorch_stays() -> None:
    first, second = drawn(IMPORT_TORCH, TORCH, GENERATOR, "torch.manual_seed(3); library.generator.manual_seed(3)")
    assert first == second


def test_a_seed_that_the_trial_sets_stays() -> None:
    imports = "import random, numpy"
    draws = {"of_random": "return random.random()", "of_numpy": "return numpy.random.rand()"}
    first, second = drawn(imports, draws, seed="random.seed(3); numpy.random.seed(3)")
    assert first == second


def test_modules_that_are_imported_later_are_looked_at_too() -> None:
    program = (
        "import os, random, sys, types\n"
        "from hopslite.executor.inherited_generators import InheritedGenerators\n"
        "generators = InheritedGenerators()\n"
        "generators.find()\n"
        "module = sys.modules['later'] = types.ModuleType('later')\n"
        "module.generator = random.Random(1)\n"
        "generators.find()\n"
        "before = module.generator.getstate()\n"
        "generators.reseed()\n"
        "print(module.generator.getstate() != before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
