"""Suggestions for misspelled names: "did you mean …?", also for keywords that other libraries call differently."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["closest", "did_you_mean", "nearest"]

# our names: theirs, of HopsML, Maggy, Optuna, hyperopt, Ray Tune, scikit-learn, SciPy and Keras Tuner
_SYNONYMS = {
    "samples num_trials": "samples num_trials n_trials max_trials trials num_samples n_samples max_evals num_evals "
    "n_calls n_iter num_iterations iterations max_iter budget evaluations",
    "generations": "generation num_generations n_generations max_generations maxiter max_iter",
    "population": "popsize pop_size population_size",
    "mutation": "f mutation_factor mutation_rate",
    "crossover": "cr recombination crossover_rate",
    "direction": "mode goal maximize minimize directions",
    "optimization_key metric_key": "optimization_key metric_key metric metric_name key monitor target scoring",
    "space boundary_dict grid_dict args_dict": "space boundary_dict grid_dict args_dict search_space searchspace "
    "param_space param_grid param_distributions params parameters hyperparameters config dimensions boundaries grid",
    "algorithm": "algo search_alg sampler optimizer method tuner",
    "algorithm_options": "options algo_options algorithm_kwargs sampler_options sampler_kwargs optimizer_options",
    "stopper": "pruner scheduler early_stopping early_stop es_policy early_stop_fn stopping_rule stop",
    "target_metric": "loss_threshold target target_value stop_value metric_threshold",
    "no_improvement": "no_improvement_rounds early_stopping_rounds iterations_without_improvement no_progress_loss",
    "initial_params": "points_to_evaluate initial_points x0 enqueue_trial enqueue",
    "warm_start": "evaluated_rewards trials study add_trials previous_runs known_trials",
    "parallelism": "n_jobs jobs max_concurrent max_concurrent_trials parallel parallel_trials concurrency n_workers "
    "workers",
    "seed": "random_state rstate random_seed rng",
    "timeout": "time_budget time_budget_s max_time max_seconds timeout_s",
    "trial_timeout": "trial_timeout_s timeout_per_trial max_trial_time",
    "cpus_per_trial cpus_per_worker": "cpus cpu num_cpus cores cores_per_trial",
    "gpus_per_trial gpus_per_worker": "gpus gpu num_gpus",
    "max_failures": "max_errors failures",
    "max_retries": "retries",
    "name": "experiment_name run_name study_name",
    "project": "project_dir local_dir storage_path storage directory output_dir",
    "tracking_uri": "mlflow_uri mlflow_tracking_uri",
    "display": "progress show_progress progress_bar progressbar show_progressbar",
    "train_fn": "fn func function objective trainable training_function train_function",
    "min_budget": "grace_period min_resource min_t min_epochs",
    "max_budget": "max_resource max_t max_epochs r",
    "reduction_factor": "eta downsampling factor",
    "interval": "perturbation_interval exploit_interval",
    "quantile": "quantile_fraction truncation fraction",
    "perturbation_factors": "perturbation factors perturb_factors",
    "n_startup_trials": "n_initial_points n_init n_random num_warmup_trials initial_points",
}
_MEANINGS = [(ours.split(), frozenset(theirs.split())) for ours, theirs in _SYNONYMS.items()]


def closest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Most similar of the names by spelling; None where none is similar enough (`cutoff`, from 0 to 1)."""
    return next(iter(difflib.get_close_matches(name, list(names), 1, cutoff)), None)


def did_you_mean(
    name: str, names: Iterable[str], otherwise: str = "", *, start: str = "did you mean", limit: int = 1
) -> str:
    """Hint with at most `limit` names of a similar spelling, or `otherwise` where there are none.

    >>> did_you_mean("lern", ["learn", "other"])
    "did you mean 'learn'?"
    """
    similar = difflib.get_close_matches(name, list(names), limit)
    return f"{start} {' or '.join(map(repr, similar))}?" if similar else otherwise


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Known keyword that an unknown one stands for, by synonym or by spelling; None where nothing is near."""
    names = list(known)
    plain = name.lower().strip("_")
    for ours, theirs in _MEANINGS:
        if plain in theirs:
            for candidate in ours:
                if candidate in names:
                    return candidate
    return closest(plain, names)
