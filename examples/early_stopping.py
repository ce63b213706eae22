"""A random search whose losing trials are stopped early: each reports its accuracy after every epoch.

    python examples/early_stopping.py

Needs `pip install hopslite scikit-learn` and Java 17 or 21.
"""

import hopslite
from hopslite import experiment, space

EPOCHS = 27


def train(learning_rate, units, alpha):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(images / 16.0, labels, test_size=0.25, random_state=0)
    model = MLPClassifier([units], alpha=alpha, learning_rate_init=learning_rate, batch_size=64, random_state=0)
    for epoch in range(EPOCHS):
        model.partial_fit(x_train, y_train, classes=range(10))
        accuracy = model.score(x_test, y_test)
        hopslite.report(accuracy, step=epoch)  # a trial that the stopper ends stops here
    return {"accuracy": accuracy}


if __name__ == "__main__":
    run = experiment.search(
        train,
        {
            "learning_rate": space.loguniform(1e-5, 1.0),
            "units": space.integer(8, 128),
            "alpha": space.loguniform(1e-6, 1e-1),
        },
        num_trials=24,
        stopper="median",  # ends trials that are worse than the median of the finished ones at the same epoch
        optimization_key="accuracy",
        name="digits early stopping",
        seed=1,
    )
    print(run.to_pandas().nlargest(5, "metric")[["id", "state", "metric", "learning_rate", "duration"]].to_string())
    print(f"{run.counts['STOPPED']} of {len(run.trials)} trials were stopped early")
