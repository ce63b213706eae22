"""A random search of a scikit-learn model, on a logarithmic scale, with a time limit for each trial.

    python examples/random_search_digits.py

Needs `pip install hopslite scikit-learn` and Java 17 or 21.
"""

from hopslite import experiment, space


def train(C, gamma):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    images, labels = load_digits(return_X_y=True)
    accuracy = cross_val_score(SVC(C=C, gamma=gamma), images / 16.0, labels, cv=3).mean()
    print(f"C={C:.3g} gamma={gamma:.3g}: {accuracy:.3f}")
    return {"accuracy": accuracy}


if __name__ == "__main__":
    run = experiment.random_search(
        train,
        {"C": space.loguniform(0.01, 100), "gamma": space.loguniform(0.001, 1)},
        samples=12,
        name="digits svm",
        seed=1,
        trial_timeout=60,
    )
    print(run.to_pandas().nlargest(3, "metric")[["id", "metric", "C", "gamma", "duration"]].to_string(index=False))
