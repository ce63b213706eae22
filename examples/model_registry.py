"""From a search to a model: the best trial's model is exported, found by its accuracy, and loaded back.

    python examples/model_registry.py

Needs `pip install hopslite scikit-learn` and Java 17 or 21; no data is downloaded. MLflow can serve the model:
`mlflow models serve -m models:/digits/1`, with MLFLOW_TRACKING_URI=sqlite:///hopslite_project/mlflow.db.
"""

from hopslite import experiment, model
from hopslite.model import Metric


def train(depth, trees):
    import mlflow.sklearn
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(images, labels, test_size=0.25, random_state=0)
    classifier = RandomForestClassifier(trees, max_depth=depth, random_state=0).fit(x_train, y_train)
    mlflow.sklearn.save_model(  # relative paths are in the trial's directory
        classifier, "model", serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
    )
    return {"accuracy": classifier.score(x_test, y_test)}


if __name__ == "__main__":
    import mlflow.sklearn
    from sklearn.datasets import load_digits

    best_logdir, best_params, outputs = experiment.grid_search(
        train, {"depth": [4, 12], "trees": [10, 50]}, optimization_key="accuracy", name="digits forest"
    )
    exported = model.export(f"{best_logdir}/model", "digits", metrics={"accuracy": outputs["accuracy"]})
    print(f"version {exported.version} of {exported.name!r} is in {exported}; it came from trial {exported.trial_id}")

    best = model.get_best_model("digits", "accuracy", Metric.MAX)
    classifier = mlflow.sklearn.load_model(model.download_model("digits", best.version, overwrite=True))
    images, labels = load_digits(return_X_y=True)
    print(
        f"the model with accuracy {best.metrics['accuracy']:.3f} says {classifier.predict(images[:10])}; {best_params}"
    )
