"""A program for HopsML in which only the import was changed: bounds are in any order, and it returns a plain number.

    python examples/hopsml_differential_evolution.py

Needs `pip install hopslite scikit-learn` and Java 17 or 21.
"""

from hopslite import experiment, tensorboard


def wrapper(lr, momentum):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(images / 16.0, labels, test_size=0.25, random_state=0)
    model = MLPClassifier(
        (32,), solver="sgd", learning_rate_init=lr, momentum=momentum, max_iter=10, early_stopping=True, random_state=0
    )
    model.fit(x_train, y_train)
    with open(tensorboard.logdir() + "/losses.txt", "w") as file:
        file.writelines(f"{loss}\n" for loss in model.loss_curve_)
    return model.score(x_test, y_test)


if __name__ == "__main__":
    search_dict = {"lr": [0.1, 0.001], "momentum": [0.1, 0.9]}
    best_logdir, best_params, outputs = experiment.differential_evolution(
        wrapper, search_dict, generations=2, population=5, name="digits mlp", local_logdir=True, direction="max"
    )
    print(best_params, outputs["metric"])
