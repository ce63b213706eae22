"""The names of HopsML: of the package `hops`, versions 0.7 to 3.8 and 4.0.0.0.rc1."""

from __future__ import annotations

from ._names import Module

__all__ = ["HOPSML", "HOPSML_VERSIONS"]

HOPSML_VERSIONS = "0.7 to 3.8, and 4.0.0.0.rc1"

_NO_DEBUGGER = (
    "TensorBoard has lost that debugger; call `tf.debugging.experimental.enable_dump_debug_info(tensorboard.logdir())` "
    "and look at Debugger V2 in TensorBoard"
)
_NO_STATE = "several runs may be under way at once; a verb returns its `Run`, which has `run_id` and `logdir`"
_NO_REST = "there is no Hopsworks server to ask"
_NO_CERTIFICATES = "hopslite has no certificates of Hopsworks; give your client the paths of your cluster's own"
_KAFKA = (
    "use a Kafka client such as `confluent-kafka`, or Spark's `spark.readStream.format('kafka')`, with your brokers"
)
_FEATURES = (
    "it has no feature store; where you have a Hopsworks, use its client, `pip install hopsworks`; otherwise read the "
    "data with `spark.read`, and save it as files, which `inputs=` gives to the trials"
)
_SERVING = (
    "hopslite does not serve models; `hopslite.model` keeps them, `mlflow models serve`, TensorFlow Serving or KServe "
    "serve them"
)

_EXPERIMENT = (
    Module(
        "hops.experiment",
        "hopslite.experiment",
        works="Direction begin collective_all_reduce differential_evolution end grid_search launch mirrored "
        "random_search",
        differs={
            "parameter_server": "only the chief runs the function, as TensorFlow 2 wants it, but for every_member=True"
        },
        gone={
            "evolutionary_search": "call `differential_evolution(train_fn, boundary_dict)`, without the session",
            "app_id driver_tensorboard_hdfs_path elastic_id experiment_json run_id running": _NO_STATE,
        },
    ),
    Module(
        "hops.tensorboard",
        "hopslite.tensorboard",
        works="local_logdir_bool logdir",
        gone={
            "interactive_debugger non_interactive_debugger": _NO_DEBUGGER,
            "visualize": "the command `hopslite tensorboard RUN` shows runs that have ended",
            "events_logdir local_logdir_path root_logdir_path": "call `tensorboard.logdir()`",
            "debugger_endpoint endpoint pypath tb_path tb_pid tb_port tb_url": "each run has a page in TensorBoard; "
            "its address is `Run.tensorboard_url`",
        },
    ),
    Module("hops.devices", "hopslite.devices", works="get_num_gpus"),
    Module(
        "hops.util",
        "hopslite.util",
        works="get_job_name grid_params num_param_servers",
        differs={
            "abspath": "is `hdfs.abs_path`",
            "num_executors": "counts the executors of the session, whether or not spark.dynamicAllocation.maxExecutors "
            "is set",
        },
        gone={
            "attach_jupyter_configuration_to_notebook connect get_jwt get_notebook_kernel_id get_requests_verify "
            "hopsworks_endpoint http notebook_post_save send_request session set_auth_header verify": _NO_REST,
            "elastic_endpoint": "runs are recorded in the project and in MLflow",
            "get_api_key_aws get_redshift_username_password get_secret parse_redhift_jdbc_url": "use `boto3`, or pass "
            "secrets as variables of the environment",
            "get_flink_conf_dir get_flink_lib_dir get_hadoop_classpath_glob get_hadoop_home": "read the variable of "
            "the environment, such as `os.environ['HADOOP_HOME']`",
            "write_b64_cert_to_bytes": _NO_CERTIFICATES,
        },
        moved={"abspath": "hopslite.hdfs.abs_path"},
    ),
)

_FILES = (
    Module(
        "hops.hdfs",
        "hopslite.hdfs",
        works="abs_path access add_module capacity chmod chown close copy_to_hdfs cp delete dump exists "
        "get_plain_path get_webhdfs_host get_webhdfs_port glob is_tls_enabled isdir isfile load ls lsl mkdir move "
        "open_file project_id project_name project_path project_user rename rmr stat",
        differs={
            "copy_to_local": "the file is there when it is complete; in a trial it is shared by the machine's trials, "
            "and read-only",
            "get get_fs": "returns a file system of fsspec, not of pydoop",
        },
        gone={
            "log": "call `print`; a trial's output is in its output.log",
            "fd pydoop_available tls_enabled webhdfs_address": "there is no pydoop; `hdfs.get()` is the file system",
        },
    ),
    Module(
        "hops.numpy_helper",
        "hopslite.numpy_helper",
        works="fromfile fromregex genfromtxt load loadtxt memmap save savez savez_compressed",
    ),
    Module(
        "hops.pandas_helper",
        "hopslite.pandas_helper",
        works="read_csv read_excel read_json read_parquet write_csv write_json write_parquet",
    ),
    Module(
        "hops.model",
        "hopslite.model",
        works="Metric ModelArchiveExists ModelNotFound download_model get_best_model get_model",
        differs={"export": "returns the model; `synchronous` is accepted and not needed"},
    ),
    Module(
        "hops.dataset",
        "hopslite.dataset",
        gone={
            "download": "call `hdfs.copy_to_local`",
            "upload": "call `hdfs.copy_to_hdfs`",
            "delete": "call `hdfs.delete`",
            "path_exists": "call `hdfs.exists`",
            "get_path_info": "call `hdfs.stat`",
            "compress extract": "use `tarfile` or `zipfile` on a copy from `hdfs.copy_to_local`",
            "HTTPDownload HTTPUpload": _NO_REST,
        },
        exceptions={"CompressTimeout DeletionTimeout": _NO_REST},
    ),
    Module(
        "hops.xattr",
        "hopslite.xattr",
        gone={"get_xattr remove_xattr set_xattr": "runs have tags: `tags=` of a verb, and the command `hopslite tag`"},
    ),
)

_SERVICES = (
    Module(
        "hops.serving",
        "hopslite.serving",
        differs={"export": "of versions up to 1.0; is `model.export`, whose next version is the default"},
        gone={
            "Serving create_or_update delete describe exists get get_all get_artifact_path get_artifact_version "
            "get_available_instances get_id get_internal_endpoints get_kafka_topic get_model_name get_model_path "
            "get_model_server get_model_version get_predictor get_predictor_resource_config get_serving_endpoint "
            "get_serving_tool get_status get_transformer get_type get_version make_inference_request start "
            "stop": _SERVING
        },
        exceptions={"ServingNotFound": _SERVING},
        moved={"export": "hopslite.model.export"},
    ),
    Module(
        "hops.featurestore",
        "hopslite.featurestore",
        gone={
            "connect create_featuregroup create_on_demand_featuregroup create_training_dataset "
            "disable_featuregroup_online enable_featuregroup_online fs_formatwarning get_clients get_credential "
            "get_dataframe_tf_record_schema get_feature get_featuregroup get_featuregroup_features_list "
            "get_featuregroup_partitions get_featuregroup_statistics get_featuregroup_tags get_featuregroups "
            "get_features get_features_list get_featurestore_metadata get_latest_featuregroup_version "
            "get_latest_training_dataset_version get_online_featurestore_connector get_project_featurestores "
            "get_storage_connector get_storage_connectors get_tags get_training_dataset "
            "get_training_dataset_features_list get_training_dataset_path get_training_dataset_statistics "
            "get_training_dataset_tags get_training_dataset_tf_record_schema get_training_datasets "
            "import_featuregroup_redshift import_featuregroup_s3 insert_into_featuregroup "
            "insert_into_training_dataset print_instructions project_featurestore project_training_datasets_sink "
            "remove_featuregroup_tag remove_training_dataset_tag set_featuregroup_tag set_training_dataset_tag "
            "setup_databricks sql sync_hive_table_with_featurestore update_featuregroup_stats "
            "update_training_dataset_stats visualize_featuregroup_clusters visualize_featuregroup_correlations "
            "visualize_featuregroup_descriptive_stats visualize_featuregroup_distributions "
            "visualize_training_dataset_clusters visualize_training_dataset_correlations "
            "visualize_training_dataset_descriptive_stats visualize_training_dataset_distributions "
            "write_init_script": _FEATURES
        },
        exceptions={"FeatureStoreDeprecationWarning": _FEATURES},
    ),
    Module(
        "hops.kafka",
        "hopslite.kafka",
        gone={
            "KafkaTopicDTO convert_json_schema_to_avro get_broker_endpoints get_broker_endpoints_list "
            "get_kafka_default_config get_schema get_security_protocol parse_avro_msg": _KAFKA
        },
    ),
    Module(
        "hops.tls",
        "hopslite.tls",
        gone={
            "get_ca_chain_location get_client_certificate_location get_client_key_location get_key_store "
            "get_key_store_cert get_key_store_pwd get_trust_store get_trust_store_pwd pems_dir": _NO_CERTIFICATES
        },
    ),
    Module(
        "hops.hive",
        "hopslite.hive",
        gone={"setup_hive_connection": "use `spark.sql` of a session with `enableHiveSupport()`"},
    ),
    Module(
        "hops.jobs",
        "hopslite.jobs",
        gone={
            "create_job get_current_execution get_executions start_job stop_job": "start programs with `spark-submit` "
            "or `hopslite run`"
        },
    ),
    Module(
        "hops.beam",
        "hopslite.beam",
        gone={
            "cleanup_runners clusters create_runner exit_handler get_portable_runner_config get_sdk_worker "
            "jobserver_host jobserver_port kill_runners start start_beam_jobserver start_runner stop_runner": "use "
            "Apache Beam's own runners, `pip install apache-beam`"
        },
    ),
    Module(
        "hops.elasticsearch",
        "hopslite.elasticsearch",
        gone={
            "get_authorization_token get_elasticsearch_config get_elasticsearch_index": "give your client, such as "
            "`opensearch-py`, your server's address"
        },
    ),
    Module(
        "hops.secret",
        "hopslite.secret",
        gone={"create_secret delete_secret get_secret": "pass secrets as variables of the environment"},
    ),
    Module(
        "hops.credentials_provider",
        "hopslite.credentials_provider",
        gone={"assume_role get_role get_roles": "S3 is opened with AWS's usual credentials; see storage.md"},
    ),
)

_PLATFORM = (
    Module(
        "hops.project",
        "hopslite.project",
        gone={
            "connect create": "name the project by `project=` of a verb or HOPSLITE_PROJECT; it is created with its "
            "first run",
            "get_project_info get_project_info_as_shared project_id_as_shared": "call `hdfs.project_name` or "
            "`hdfs.project_path`",
        },
    ),
    Module("hops.user", "hopslite.user", gone={"create_user": "there are no accounts"}),
    Module(
        "hops.service_discovery",
        "hopslite.service_discovery",
        gone={"ServiceDiscovery": "name servers by their addresses"},
    ),
    Module(
        "hops.facets",
        "hopslite.facets",
        gone={"dive overview": "use the package `facets-overview`, or `DataFrame.describe()`"},
    ),
    Module(
        "hops.exceptions",
        "hopslite.exceptions",
        exceptions={"APIKeyFileNotFound RestAPIError UnkownSecretStorageError": "hopslite's are in `hopslite.errors`"},
    ),
    Module(
        "hops.constants",
        "hopslite.constants",
        gone={
            "AWS DELIMITERS ELASTICSEARCH_CONFIG ENV_VARIABLES FEATURE_STORE HIVE_CONFIG HTTP_CONFIG "
            "KAFKA_CONSUMER_CONFIG KAFKA_PRODUCER_CONFIG KAFKA_SSL_CONFIG LOCAL MODEL_SERVING MYSQL_CONFIG "
            "PETASTORM_CONFIG REST_CONFIG S3_CONFIG SPARK_CONFIG SSL_CONFIG XATTRS": "they are Hopsworks' names of "
            "variables and settings; write the value itself"
        },
    ),
    Module(
        "hops.version",
        "hopslite.version",
        works="__version__",
        moved={"__version__": "hopslite.__version__"},
    ),
)

HOPSML = (*_EXPERIMENT, *_FILES, *_SERVICES, *_PLATFORM)
