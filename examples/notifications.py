"""A search that sends a message when a trial is better than all before it, and at its end.

    python examples/notifications.py https://hooks.slack.com/services/…   # or any server that takes {"text": …}

Without an address the messages are in notifications.txt. Needs `pip install hopslite scikit-learn` and Java 17 or 21.
"""

import json
import sys
import urllib.request

from hopslite import experiment, space


class Notify:
    """Callback in the driver; it has the methods for what it wants to know."""

    def __init__(self, url=None):
        self.url, self.best = url, None

    def on_run_start(self, run):
        self.run = run

    def on_trial_end(self, trial):
        if trial.metric is not None and (self.best is None or trial.metric > self.best):
            self.best = trial.metric
            self.send(f"best metric {trial.metric:.3g} (trial {trial.id})")

    def on_run_end(self, run):
        self.send(run.state.value)

    def send(self, text):
        text = f"{self.run.name} v{self.run.version}: {text}"
        if self.url is None:
            with open("notifications.txt", "a", encoding="utf-8") as file:
                file.write(text + "\n")
            return
        body = json.dumps({"text": text}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=5).close()  # what it raises is a warning


def train(C):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    return cross_val_score(SVC(C=C), *load_digits(return_X_y=True), cv=2).mean()


if __name__ == "__main__":
    notify = Notify(*sys.argv[1:2])
    run = experiment.random_search(
        train, {"C": space.lognormal(0.0, 2.0)}, samples=4, seed=1, name="notifications", callbacks=[notify]
    )
    print("run directory:", run.logdir)
