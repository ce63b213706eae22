"""Two algorithms that use earlier results: TPE, and Hyperband, which trains many combinations briefly and few for long.

    python examples/algorithms.py

Needs `pip install 'hopslite[optuna]' scikit-learn` and Java 17 or 21.
"""

import os
import pickle

import hopslite
from hopslite import experiment, space

SPACE = {
    "solver": ["adam", "sgd"],
    "learning_rate": space.loguniform(1e-5, 1.0),
    "units": space.integer(8, 128, log=True),
    "momentum": space.when("solver", "sgd", space.uniform(0.0, 0.99)),  # the other solver has no momentum
}


def train(solver, learning_rate, units, momentum=0.9, budget=9):
    """Train for `budget` epochs in total: a trial that Hyperband promotes continues from its checkpoint."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(images / 16.0, labels, test_size=0.5, random_state=0)
    checkpoint = os.path.join(experiment.checkpoint_dir(), "network.pkl")
    if os.path.exists(checkpoint):
        with open(checkpoint, "rb") as file:
            epochs, network = pickle.load(file)
    else:
        epochs = 0
        network = MLPClassifier(
            [units], solver=solver, learning_rate_init=learning_rate, momentum=momentum, batch_size=64, random_state=0
        )
    for epoch in range(epochs, budget):
        network.partial_fit(x, y, classes=range(10))
        accuracy = network.score(x_test, y_test)
        hopslite.report(accuracy, step=epoch)
    with open(f"{checkpoint}.new", "wb") as file:
        pickle.dump((budget, network), file)
    os.replace(f"{checkpoint}.new", checkpoint)  # atomic: a killed trial leaves no incomplete checkpoint
    return {"accuracy": accuracy}


def tell(run):
    seconds = run.to_pandas()["duration"].sum()
    print(f"{run.name}: {len(run.trials)} trials in {seconds:.0f} s of training, best accuracy {run.best_metric:.3f}\n")


if __name__ == "__main__":
    common = {"optimization_key": "accuracy", "seed": 1}
    tell(experiment.search(train, SPACE, "tpe", num_trials=20, name="digits tpe", **common))
    options = {"max_budget": 27}  # epochs; each configuration starts with 1, 3, 9 or 27
    tell(experiment.search(train, SPACE, "hyperband", algorithm_options=options, name="digits hyperband", **common))
