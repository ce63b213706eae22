"""Ablation studies: the cost of leaving out one component at a time.

```python
from hopslite import experiment
from hopslite.ablation import AblationStudy

study = AblationStudy(components={"augment": flip_and_shift, "dropout": 0.5, "warmup": 3})
run = experiment.ablation(train, study, direction="max")     # train(components): a dict of those that are left in
run.ablation                                                 # the components, the most important one first
```

`AblationStudy` is also Maggy's: it leaves out layers of a Keras model, and features of a dataset.
"""

from __future__ import annotations

from ._ranking import AblationRun, Ranked, Ranking, rank
from ._study import AblationStudy, study_of

__all__ = ["AblationRun", "AblationStudy", "Ranked", "Ranking", "rank", "study_of"]
