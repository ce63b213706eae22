"""The names of Maggy: of the package `maggy`, versions 0.2 to 1.1.2."""

from __future__ import annotations

from ._names import Module

__all__ = ["MAGGY", "MAGGY_VERSIONS"]

MAGGY_VERSIONS = "0.2 to 1.1.2"

_HERE = "hopslite.maggy"
_EXPERIMENT = {"experiment": "hopslite.experiment"}
_CONFIGURATIONS = (
    "AblationConfig BaseConfig DistributedConfig HyperparameterOptConfig LagomConfig OptimizationConfig "
    "TfDistributedConfig TorchDistributedConfig"
)
_ALGORITHM = "write a class with `ask` and `tell`, and give it as `optimizer=`; see search.md"
_ABLATOR = "give `ablator='loco'`; a study of another kind is a search over a grid"
_NO_ZERO = "use PyTorch's own `ZeroRedundancyOptimizer`, or FSDP"
_OF_OPTUNA = "of Optuna; one line names the options that it has not"
_NO_DRIVER = "it is internal to Maggy"

_EXPERIMENTS = (
    Module(
        "maggy",
        _HERE,
        works="Searchspace ablation callbacks experiment tensorboard",
        gone={"Trial": "trials are `result.run.trials`"},
        moved={
            **_EXPERIMENT,
            "ablation": "hopslite.ablation",
            "callbacks": "hopslite.callbacks",
            "tensorboard": "hopslite.tensorboard",
        },
    ),
    Module(
        "maggy.experiment",
        "hopslite.experiment",
        works="experiment",
        differs={
            "lagom": "the configuration, or `name`, `searchspace` and the like, by keyword; `optimization_key` counts"
        },
        gone={
            "APP_ID EXPERIMENT_JSON RUNNING RUN_ID app_id elastic_id experiment_json run_id running": "`lagom` returns "
            "a dict with the `Run` as its attribute `run`"
        },
        moved=_EXPERIMENT,
    ),
    Module("maggy.experiment.experiment", "hopslite.experiment", differs={"lagom": "as in maggy.experiment"}),
    Module("maggy.config", _HERE, works=_CONFIGURATIONS),
    Module("maggy.experiment_config", _HERE, works=_CONFIGURATIONS),
    Module(
        "maggy.searchspace",
        _HERE,
        works="Searchspace Searchspace.add Searchspace.get Searchspace.get_random_parameter_values Searchspace.items "
        "Searchspace.json Searchspace.keys Searchspace.names Searchspace.to_dict Searchspace.values",
        gone={
            "Searchspace.dict_to_list Searchspace.inverse_transform Searchspace.list_to_dict "
            "Searchspace.transform": "call `to_space()`, whose `decode` takes a point of the unit cube"
        },
    ),
    Module(
        "maggy.optimizer",
        _HERE,
        works="GridSearch RandomSearch SingleRun",
        differs={
            "Asha": "`direction` counts, and the trials of the top rung are run",
            "GP TPE": _OF_OPTUNA,
        },
        gone={"AbstractOptimizer": _ALGORITHM},
    ),
    Module(
        "maggy.optimizer.bayes",
        _HERE,
        differs={"GP TPE": _OF_OPTUNA},
        gone={"BaseAsyncBO": _ALGORITHM},
    ),
    Module(
        "maggy.pruner",
        _HERE,
        gone={"AbstractPruner": _ALGORITHM, "Hyperband": "give an optimizer `pruner='hyperband'`"},
    ),
    Module(
        "maggy.earlystop",
        _HERE,
        works="AbstractEarlyStop NoStoppingRule",
        differs={"MedianStoppingRule": "compares by step, not by the number of reports"},
    ),
    Module(
        "maggy.callbacks",
        "hopslite.callbacks",
        differs={"KerasBatchEnd KerasEpochEnd": "a metric that Keras does not log is an error, not a 0"},
    ),
    Module("maggy.tensorboard", "hopslite.tensorboard", works="logdir"),
    Module(
        "maggy.ablation",
        "hopslite.ablation",
        works="AblationStudy AblationStudy.set_dataset_generator AblationStudy.to_dict",
    ),
    Module("maggy.ablation.ablator", _HERE, gone={"AbstractAblator": _ABLATOR}),
    Module("maggy.ablation.ablator.loco", _HERE, gone={"LOCO": _ABLATOR}),
)

_INTERNALS = (
    Module(
        "maggy.core.exceptions",
        _HERE,
        differs={"EarlyStopException": "is `errors.TrialStopped`, which no `except Exception` catches"},
        exceptions={
            "BadArgumentsError NotSupportedError": "hopslite's are in `hopslite.errors`",
            "BroadcastMetricTypeError BroadcastStepTypeError BroadcastStepValueError MetricTypeError "
            "ReturnTypeError": "see `errors.ReportError` and `errors.ReturnValueError`",
        },
        moved={"EarlyStopException": "hopslite.errors.TrialStopped"},
    ),
    Module("maggy.core.reporter", _HERE, gone={"Reporter": "training functions get theirs as `reporter`"}),
    Module(
        "maggy.core.patching",
        _HERE,
        works="MaggyDataLoader",
        gone={
            "MaggyPetastormDataLoader": "open the data with Petastorm's own `make_reader`, its shard by the rank",
            "MaggyZeroASGD MaggyZeroAdadelta MaggyZeroAdagrad MaggyZeroAdam MaggyZeroAdamW MaggyZeroAdamax "
            "MaggyZeroLBFGS MaggyZeroRMSprop MaggyZeroRprop MaggyZeroSGD MaggyZeroSparseAdam "
            "get_maggy_deepspeed_wrapper get_maggy_fairscale_wrapper": _NO_ZERO,
            "get_maggy_ddp_wrapper": "the module that a TorchDistributedConfig passes on is wrapped already",
        },
        moved={"MaggyDataLoader": "hopslite.maggy.patching.MaggyDataLoader"},
    ),
    Module("maggy.trial", _HERE, gone={"Trial": "trials are `result.run.trials`"}),
    Module(
        "maggy.util",
        _HERE,
        differs={"num_executors": "is `util.num_executors`"},
        gone={
            "APP_ID DEBUG build_summary_json clean_dir finalize_experiment find_spark get_metric_value "
            "get_partition_attempt_id handle_return_val json_default_numpy log num_physical_devices "
            "populate_experiment print_trial_store progress_bar register_environment seconds_to_milliseconds "
            "set_app_id set_ml_id time_diff validate_ml_id": _NO_DRIVER
        },
        moved={"num_executors": "hopslite.util.num_executors"},
    ),
    Module("maggy.constants", _HERE, gone={"USER_FCT": _NO_DRIVER}),
    Module(
        "maggy.tb_experimental",
        _HERE,
        gone={"create_hparams_config write_hparams_proto": "TensorBoard's HParams are written by hopslite itself"},
    ),
    Module("maggy.version", _HERE, works="__version__", moved={"__version__": "hopslite.__version__"}),
)

MAGGY = (*_EXPERIMENTS, *_INTERNALS)
