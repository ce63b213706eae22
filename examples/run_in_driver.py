"""A run that records code of this program, without a training function and without Spark.

    python examples/run_in_driver.py

Needs `pip install hopslite scikit-learn`; no Java, and no data is downloaded.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

import hopslite
from hopslite import experiment

images, labels = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(images / 16, labels, test_size=0.25, random_state=0)

with experiment.start_run("digits by hand", metric_key="accuracy", params={"alpha": 1e-4}) as run:
    classifier = SGDClassifier(alpha=1e-4, random_state=0)
    for epoch in range(10):
        classifier.partial_fit(x_train, y_train, classes=np.arange(10))
        accuracy = classifier.score(x_test, y_test)
        hopslite.report(accuracy, step=epoch)  # a curve in MLflow and TensorBoard
        print(f"epoch {epoch}: {accuracy:.3f}")  # also kept in the trial's output.log
    run.outputs["accuracy"] = accuracy

print(f"best of {len(run.result.reports())} epochs: {run.result.reports()['value'].max():.3f}")
