"""A search whose driver is killed, and the same search, which then continues with the remaining trials.

    python examples/resume.py

Needs `pip install hopslite scikit-learn` and Java 17 or 21. The driver that is killed is a copy
of this program.
"""

import subprocess
import sys
import time
from pathlib import Path

from hopslite import experiment, space

ENDED = 4  # number of trials before the first driver is killed


def train(C, gamma):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    images, labels = load_digits(return_X_y=True)
    return {"accuracy": cross_val_score(SVC(C=C, gamma=gamma), images / 16.0, labels, cv=3).mean()}


def search():
    return experiment.random_search(
        train,
        {"C": space.loguniform(0.01, 100), "gamma": space.loguniform(0.001, 1)},
        samples=12,
        name="digits resumed",
        seed=1,
        resume="auto",  # continues an interrupted run; without one, a new run starts
    )


def ended():
    return len(list(Path().glob("hopslite_project/Experiments/*/trials/*/.outputs.json")))


def driver_that_is_killed():
    before = ended()
    driver = subprocess.Popen([sys.executable, __file__, "first"])
    while ended() < before + ENDED:
        if driver.poll() is not None:
            sys.exit("the first driver ended before it could be killed")
        time.sleep(0.1)
    time.sleep(1)  # the end of a trial is on the disk within a second
    driver.kill()
    driver.wait()
    print(f"the driver was killed after {ENDED} trials or a few more")


if __name__ == "__main__":
    if "first" in sys.argv[1:]:
        search()
    else:
        driver_that_is_killed()
        run = search()
        print(run.to_pandas().nlargest(3, "metric")[["id", "metric", "C", "gamma"]].to_string(index=False))
