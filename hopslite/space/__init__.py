"""Search spaces: the values that each hyperparameter can take.

```python
from hopslite import experiment, space

experiment.random_search(train, {
    "learning_rate": space.loguniform(1e-5, 1e-1),
    "layers": space.integer(1, 8),                          # 1 and 8 included
    "units": space.integer(8, 1024, log=True),              # 8 to 15 as often as 512 to 1023
    "dropout": space.uniform(0.0, 0.5, step=0.1),           # 0.0, 0.1, … 0.5
    "optimizer": space.choice(["adam", "sgd"], weights=[3, 1]),
    "weight_decay": space.lognormal(-7.0, 2.0, high=0.1),   # of the logarithm
    "fold": space.grid([0, 1, 2]),                          # each with every sample of the others
    "momentum": space.when("optimizer", "sgd", [0.0, 0.99]),  # only there; two numbers are bounds, in either order
})
```
"""

from .choices import Choice, GridValues, choice, grid
from .conditions import Condition, When, when
from .dimensions import Dimension, Integer, LogUniform, Uniform, integer, loguniform, uniform
from .normal_distribution import Normal, lognormal, normal
from .space import Space

__all__ = [
    "Choice",
    "Condition",
    "Dimension",
    "GridValues",
    "Integer",
    "LogUniform",
    "Normal",
    "Space",
    "Uniform",
    "When",
    "choice",
    "grid",
    "integer",
    "lognormal",
    "loguniform",
    "normal",
    "uniform",
    "when",
]
