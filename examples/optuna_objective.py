"""An objective of Optuna's, with its pruning, on Spark; the run is a study of Optuna's afterwards.

    python examples/optuna_objective.py

Needs `pip install 'hopslite[optuna]' scikit-learn` and Java 17 or 21.
"""

import optuna

from hopslite import experiment


def objective(trial):
    from sklearn.datasets import load_digits
    from sklearn.linear_model import SGDClassifier
    from sklearn.model_selection import train_test_split

    images, test_images, digits, test_digits = train_test_split(*load_digits(return_X_y=True), random_state=0)
    penalty = trial.suggest_categorical("penalty", ["l2", "elasticnet"])
    ratio = trial.suggest_float("l1_ratio", 0.0, 1.0) if penalty == "elasticnet" else 0.0
    alpha = trial.suggest_float("alpha", 1e-6, 10.0, log=True)
    model = SGDClassifier(penalty=penalty, l1_ratio=ratio, alpha=alpha, random_state=0)
    for step in range(10):
        model.partial_fit(images, digits, classes=range(10))
        accuracy = model.score(test_images, test_digits)
        trial.report(accuracy, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


if __name__ == "__main__":
    run = experiment.search(
        objective,
        num_trials=24,
        algorithm="tpe",
        direction="max",
        stopper=optuna.pruners.MedianPruner(n_startup_trials=4),
        name="digits objective",
        seed=1,
    )
    print(run)
    study = run.to_optuna()  # for optuna.visualization and Optuna Dashboard
    print(optuna.importance.get_param_importances(study, params=["penalty", "alpha"]))
