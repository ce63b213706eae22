"""Trains a support vector machine on handwritten digits, with scikit-learn.

python train.py --C 10 --gamma 0.001
"""

import argparse
import json
import os

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC


def train(C, gamma, kernel):
    """The trained model, its cross-validated accuracy, and that on images which it has never seen."""
    images, labels = load_digits(return_X_y=True)
    images, test_images, labels, test_labels = train_test_split(images, labels, test_size=0.25, random_state=0)
    model = make_pipeline(MinMaxScaler(), SVC(C=C, gamma=gamma, kernel=kernel))
    validated = cross_val_score(model, images, labels, cv=3).mean()
    model.fit(images, labels)
    return model, float(validated), float(model.score(test_images, test_labels))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--C", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=0.02)
    parser.add_argument("--kernel", choices=["rbf", "poly"], default="rbf")
    model, validated, tested = train(**vars(parser.parse_args(arguments)))
    # A line of this form is a metric of the trial. The search compares the first; the second only says how good it is.
    print(json.dumps({"metric": "validated", "value": validated}))
    print(json.dumps({"metric": "tested", "value": tested}))
    joblib.dump(model, os.path.join(os.environ.get("HOPSLITE_OUTPUT", "."), "model.joblib"))


if __name__ == "__main__":
    main()
