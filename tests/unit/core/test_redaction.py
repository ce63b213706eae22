"""Secrets never pass into a record or a message, and what is no secret stays as it is."""

from __future__ import annotations

import base64
import json
import os
import string
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hopslite import experiment
from hopslite.core.redaction import REDACTED, redact, redact_source, redact_value, redact_words, spark_settings
from hopslite.core.redaction._names import FREE_VALUES, Likelihood, likelihood_of, looks_random
from hopslite.core.redaction._spark import PLAIN
from hopslite.errors import TrialFailed
from hopslite.storage.annotations import Notes
from hopslite.storage.run_directory import RunDir
from hopslite.storage.snapshot import save_snapshot
from hopslite.submission.inputs import parse_input
from hopslite.submission.job_file import job_record
from hopslite.submission.recorded_command import missing_requirements, record_call, shell_command

LETTERS = string.ascii_letters + string.digits

anywhere = settings(deadline=None)  # on a machine of any speed


def letters(alphabet: str, least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most or least)


def mixed(least: int, most: int | None = None, alphabet: str = LETTERS) -> st.SearchStrategy[str]:
    """Letters and digits, some of both."""
    return letters(alphabet, least, most).filter(
        lambda text: any(map(str.isdigit, text)) and any(map(str.isalpha, text))
    )


def part(*lengths: int) -> st.SearchStrategy[str]:
    return st.tuples(*(mixed(length) for length in lengths)).map(".".join)


def words(text: str) -> list[str]:
    return text.split()


def prefixed(prefix: str, strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return strategy.map(lambda text: prefix + text)


TOKENS = st.one_of(
    prefixed("AKIA", letters(string.ascii_uppercase + string.digits, 16)),
    prefixed("ASIA", letters(string.ascii_uppercase + string.digits, 16)),
    prefixed("ghp_", mixed(36)),
    prefixed("github_pat_", mixed(22, 80)),
    prefixed("glpat-", mixed(20)),
    prefixed("sk-", mixed(48)),
    prefixed("sk-proj-", mixed(48)),
    prefixed("sk-ant-api03-", mixed(40)),
    prefixed("hf_", mixed(34)),
    prefixed("xoxb-", st.tuples(letters(string.digits, 12), mixed(24)).map("-".join)),
    prefixed("AIza", mixed(35)),
    prefixed("npm_", mixed(36)),
    prefixed("SG.", part(22, 43)),
    prefixed("eyJ", part(20, 40, 43)),
    prefixed("dapi", letters("0123456789abcdef", 32)),
    prefixed("sk_live_", mixed(24)),
)
WORDS = st.text(LETTERS + "_-.!$%^+", min_size=4, max_size=24).filter(
    lambda text: any(map(str.isalnum, text)) and not text.startswith("-") and text.lower() not in FREE_VALUES
)
SECRET_NAMES = st.sampled_from(
    words(
        "password DB_PASSWORD db.passwd GITHUB_PAT OPENAI_KEY JWT hf_token api_key apiKey "
        "AWS_SECRET_ACCESS_KEY client_secret private_key aws.access.key MYSQL_PWD auth_token webhook_url "
        "SLACK_WEBHOOK keyPassword PGPASSWORD bearer encryption_key credentials wandb_key WANDB_API_KEY "
        "access_token my-secret"
    )
)
PROSE = st.sampled_from(["", "could not connect: ", "ValueError: no answer from ", "(", "x=1, y=", "\n  File 'a.py': "])
HARMLESS_NAMES = st.sampled_from(
    words(
        "lr learning_rate_schedule optimizer batch_size activation tokenizer pad_token max_tokens num_tokens "
        "keys_dim key_dim sort_key optimization_key path pattern passes compass_mode signal sigma spin "
        "patience monkey turkey keyboard author authors commit sha run_id monitor secretary design "
        "token_embedding tokenizer_name cache_key public hook_count"
    )
)
HARMLESS_VALUES = st.one_of(
    st.sampled_from(
        words(
            "cosine adam relu mean-squared-error bert-base-uncased sk-learn-random-forest-classifier "
            "val_acc_top5 [PAD] </s> resnet50v2 /data/train/part-00001.parquet s3://bucket/data/v2/x.csv "
            "3x3-conv-64-bn 2026-01-31T12:00:00 none efficientnet_b0.ra_in1k hdfs://node:8020/Projects/a "
            "https://example.org/data?split=train local[*] 1.5.2+cu118 7f9f1f5aa0123456789abcdef0123456789abcde "
            "git@github.com:ada/digits.git meta-llama/Llama-3.1-8B-Instruct 550e8400-e29b-41d4-a716-446655440000 "
            "layer_norm hf-internal-testing basic_block"
        )
    ),
    st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=30),
    st.floats(allow_nan=False).map(repr),
    letters("0123456789abcdef", 40),
)


class TestSecretsNeverPass:
    @anywhere
    @given(TOKENS, PROSE, st.sampled_from(["", ".", " was refused", ")", "', 'x'", "\n", '"}']))
    def test_tokens_anywhere(self, token: str, before: str, after: str) -> None:
        assert token not in redact(f"{before}{token}{after}")
        assert token not in json.dumps(redact_value({"lr": 0.1, "deep": [{"x": f"{before}{token}{after}"}]}))
        assert token not in redact_source(f"client = Client('{token}')")

    @anywhere
    @given(SECRET_NAMES, WORDS, PROSE)
    def test_values_under_telling_names(self, name: str, value: str, before: str) -> None:
        for text in (f"{name}={value}", f"{name}='{value}'", f'{{"{name}": "{value}"}}', f"--{name} {value}"):
            assert value not in redact(f"{before}{text}").replace(name, ""), text
        assert redact_value({name: value, "n": 1}) == {name: REDACTED, "n": 1}
        assert value not in redact_words(["x.py", f"--{name}", value, f"--{name}={value}"])
        assert redact_value({name: {"type": "choice", "values": [value]}}) == {
            name: {"type": "choice", "values": [REDACTED]}
        }

    @anywhere
    @given(WORDS.filter(lambda text: "%" not in text), mixed(12, 40))
    def test_urls_and_headers(self, user: str, secret: str) -> None:
        pair = base64.b64encode(f"{user}:{secret}".encode()).decode()
        for text in (
            f"https://{user}:{secret}@example.org/x",
            f"git+https://{secret}@github.com/ada/digits.git",
            f"--extra-index-url https://__token__:{secret}@pypi.example.org/simple",
            f"https://bucket.example.org/x?X-Amz-Date=1&X-Amz-Signature={secret}",
            f"https://a.blob.core.windows.net/b?sv=2022&sig={secret}&se=2026",
            f"https://hooks.slack.com/services/T0/B0/{secret}",
            f"https://discord.com/api/webhooks/12/{secret}",
            f"https://chat.example.org/hooks/{secret}",
            f"https://api.telegram.org/bot12:{secret}/send",
            f"https://conda.anaconda.org/t/{secret}/channel",
            f"Authorization: Bearer {secret}",
            f"{{'Authorization': 'Token {secret}'}}",
            f"curl -H 'authorization: Basic {pair}'",
            f"sent with Bearer {secret}",
            f"Cookie: session={secret}; lang=en",
            f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={secret};EndpointSuffix=b",
            f"-----BEGIN RSA PRIVATE KEY-----\n{secret}\n-----END RSA PRIVATE KEY-----",
            f"-----BEGIN PRIVATE KEY-----\\n{secret}",
        ):
            shown = redact(f"error at {text} of it")
            assert secret not in shown, text
            assert pair not in shown

    @anywhere
    @given(st.text(max_size=200))
    def test_any_text_is_taken_and_twice_is_once(self, text: str) -> None:
        assert redact(redact(text)) == redact(text)

    @pytest.mark.slow("soak")
    @pytest.mark.parametrize(
        "part", ["a.", "https://", "eyJ", "-----BEGIN ", "password='", "/b", "a=b;", "http://a?b&", "@", "key="]
    )
    def test_a_long_text_takes_no_longer_than_its_length_says(self, part: str) -> None:
        """Expressions that look back and forth would need hours for these."""
        text = part * (200_000 // len(part))
        assert "hunter2" not in redact(f"https://a:hunter2@b {text} token=hunter2")

    @anywhere
    @given(
        st.text(LETTERS + ".-", min_size=1, max_size=30), mixed(5, 30).filter(lambda text: not PLAIN.fullmatch(text))
    )
    def test_an_unknown_setting_of_spark_is_not_kept(self, key: str, value: str) -> None:
        assume(not PLAIN.fullmatch(value))
        assert value not in spark_settings({f"spark.executorEnv.X{key}": value}).values()
        assert value not in json.dumps(
            spark_settings({"spark.driver.extraJavaOptions": f"-Dmy.key={value} -XX:+UseG1GC"})
        )


class TestWhatIsNoSecretStays:
    @anywhere
    @given(HARMLESS_NAMES, HARMLESS_VALUES)
    def test_names_and_values(self, name: str, value: str) -> None:
        if likelihood_of(name) is not Likelihood.NOTHING and looks_random(value):
            value = "units"  # under a name like that nobody can know
        for text in (f"{name}={value}", f"{name}: {value}", f"--{name} {value}", f"trial failed with {name}='{value}'"):
            assert redact(text) == text
        assert redact_value({name: value}) == {name: value}
        assert redact_words([f"--{name}", value]) == [f"--{name}", value]

    @anywhere
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-999, 999) | st.floats(allow_nan=False) | st.just("relu"), st.lists
        )
    )
    def test_numbers_keep_their_types(self, value: Any) -> None:
        assert redact_value({"units": value, "token": 3}) == {"units": value, "token": 3}

    @pytest.mark.parametrize(
        "text",
        [
            "KeyError: 'token'",
            "the password is wrong",
            "unexpected token: '}'",
            "Token embedding: 768 dimensions",
            "invalid auth: no such user",
            "basic training and bearer of news",
            "    return client(token=token, key=self.key)",
            "expected key: string, given key: list",
            "there is no option 'key'; keys: lr, units",
            "git@github.com:ada/digits.git",
            "hopslite==0.1.0",
        ],
    )
    def test_prose_and_code(self, text: str) -> None:
        assert redact(text) == text

    def test_source_keeps_its_code(self) -> None:
        source = (
            'def f():\n    token = os.environ["HF_TOKEN"]\n    return g(key=key, password=getpass(), token=read("t"))\n'
        )
        assert redact_source(source) == source
        assert redact_source('api_key = "hunter2"') == 'api_key = "(redacted)"'


class TestSpark:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("spark.hadoop.fs.s3a.encryption.key", "hunter2"),
            ("spark.hadoop.fs.s3a.server-side-encryption.key", "hunter2"),
            ("spark.executorEnv.GITHUB_PAT", "hunter2"),
            ("spark.executorEnv.OPENAI_KEY", "hunter2"),
            ("spark.executorEnv.JWT", "hunter2"),
            ("spark.executorEnv.ANYTHING", "hunter2"),
            ("spark.my.header", "Bearer hunter2"),
            ("spark.my.hook", "https://hooks.slack.com/services/hunter2"),
            ("spark.authenticate.secret", "12345"),
            ("spark.app.name", "of hf_hunter2abcdefghijkl0"),
            ("spark.jars.repositories", "https://joe:hunter2@repo/maven"),
            ("spark.driver.extraJavaOptions", "-Xmx2g -Dmy.value=hunter2"),
            ("spark.driver.extraJavaOptions", "-Djavax.net.ssl.keyStorePassword=hunter2"),
            ("spark.my.pin", "-----BEGIN EC PRIVATE KEY-----hunter2"),
        ],
    )
    def test_what_is_not_known_to_be_harmless_goes(self, key: str, value: str) -> None:
        kept = spark_settings({key: value})[key]
        assert "hunter2" not in kept
        assert "12345" not in kept
        assert REDACTED in kept or "repo/maven" in kept

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("spark.executor.memory", "4g"),
            ("spark.my.own.switch", "true"),
            ("spark.my.own.number", "128"),
            ("spark.my.own.time", "30s"),
            ("spark.executorEnv.OMP_NUM_THREADS", "4"),
            ("spark.executorEnv.LD_LIBRARY_PATH", "/opt/lib"),
            ("spark.executor.resource.gpu.amount", "1"),
            ("spark.sql.catalog.main", "org.apache.iceberg.spark.SparkCatalog"),
            ("spark.jars.packages", "io.delta:delta-spark_2.13:4.0.0"),
            ("spark.authenticate.secretBitLength", "256"),
            ("spark.driver.extraJavaOptions", "-Djava.net.preferIPv6Addresses=false -XX:+UseG1GC"),
            ("spark.kubernetes.namespace", "science"),
        ],
    )
    def test_what_is_known_stays(self, key: str, value: str) -> None:
        assert spark_settings({key: value}) == {key: value}

    def test_sparks_own_expression_counts_besides(self) -> None:
        conf = {
            "spark.redaction.regex": "(?i)queue",
            "spark.yarn.queue": "a",
            "spark.app.name": "the queue",
            "spark.master": "m",
        }
        assert [key for key, value in spark_settings(conf).items() if value == REDACTED] == [
            "spark.app.name",
            "spark.redaction.regex",
            "spark.yarn.queue",
        ]
        assert spark_settings({"spark.redaction.regex": "(?<![", "spark.master": "m"})["spark.master"] == REDACTED


HUNTERS = ("hunter2", "hunter3")
TOKEN = "ghp_" + "a1B2" * 9


def test_a_run_has_its_secrets_nowhere(tmp_path: Path) -> None:
    """Parameters, tags, what is around the function, messages of failures, outputs: in every file of the run."""
    around = {"api_key": "hunter2"}

    def train(hf_token: str, lr: float) -> dict[str, Any]:
        if lr > 0.1:
            raise ValueError(f"https://joe:hunter2@example.org refused {TOKEN} with password={around['api_key']}")
        assert hf_token in HUNTERS  # the function has what it needs
        return {"metric": lr, "used_token": hf_token, "note": TOKEN}

    space = {"hf_token": ["hunter2", "hunter3"], "lr": [0.1, 0.5]}
    options: dict[str, Any] = {"name": "s", "project": str(tmp_path / "p"), "pool": "inline", "display": False}
    options |= {"tags": {"slack_webhook": "hunter2", "team": "vision"}, "description": f"with {TOKEN}"}
    run = experiment.grid_search(train, space, **options)

    assert run.best_outputs["note"] == TOKEN  # what is returned is the program's own
    files = [path for path in Path(run.logdir).rglob("*") if path.is_file() and path.name != "plan.pkl"]
    files = [path for path in files if path.name not in ("program.py", "code.zip")]
    for path in files:
        for secret in (b"hunter2", b"hunter3", TOKEN.encode()):
            assert secret not in path.read_bytes(), path
    assert "hunter" not in repr(run) + str(run.trials[1].error) + str(run.trials[1].traceback)
    record = RunDir(run.logdir).read_json("run.json")
    assert record["tags"] == {"slack_webhook": REDACTED, "team": "vision"}
    assert record["function"]["name"].endswith("train")

    again = experiment.grid_search(train, space, resume=run.run_id, **options, retry_failed=True)
    assert len(again.trials) == 4
    with pytest.raises(TrialFailed) as failed:
        experiment.grid_search(train, {"hf_token": ["hunter2"], "lr": [0.5]}, **options)
    assert "hunter2" not in str(failed.value)


def test_what_a_command_was_given(tmp_path: Path) -> None:
    inputs = {"a": parse_input("s3://k:hunter2@b/x", str(tmp_path))}
    job = {"code": str(tmp_path), "has_code": False, "secret": [], "inputs": inputs}
    words = ["--hf-token", "hunter2", "--lr", "0.1", "--url=https://a:hunter2@h/x"]
    kept = record_call("train.py", words, {"message": f"now {TOKEN}", "inputs": ["a=s3://k:hunter2@b/x"]}, job, None)
    assert "hunter2" not in json.dumps(kept)
    assert TOKEN not in json.dumps(kept)
    assert kept["parameters"][2:4] == ["--lr", "0.1"]
    assert REDACTED in shell_command(kept, "train.py")
    assert [note for note in missing_requirements(kept) if "secrets are in no record" in note]

    path = tmp_path / "job.yml"
    path.write_text(
        "command: train.sh --password hunter2\nparams: {api_key: hunter2, lr: [0.1, 1e-3]}\ninputs: {a: s3://k:hunter2@b/x}\n"
    )
    text = job_record(str(path), inputs)
    assert "hunter2" not in text
    assert "lr: [0.1, 1e-3]" in text


def test_a_snapshot_and_notes(tmp_path: Path) -> None:
    run = RunDir(str(tmp_path))
    facts = {"application_id": "app-1", "ui": "http://joe:hunter2@h:4040", "conf": {"spark.executorEnv.JWT": "hunter2"}}
    assert save_snapshot(run, facts) == []
    Notes({"api_key": "hunter2", "kept": "yes"}, f"see {TOKEN}").write(run)
    assert "hunter2" not in run.read_bytes("spark.json").decode() + run.read_bytes("notes.json").decode()
    assert TOKEN not in run.read_bytes("notes.json").decode()
    assert Notes.read(run).tags["kept"] == "yes"


def test_an_environment_of_conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels with tokens in their paths, indexes with passwords; and variables, which are not of the packages."""
    conda = tmp_path / "bin" / "conda"
    conda.parent.mkdir()
    lines = [
        "name: base",
        "channels:",
        "  - https://conda.anaconda.org/t/ab-hunter2/x",
        "dependencies:",
        "  - numpy=2.0",
    ]
    lines += ["  - pip:", "      - --extra-index-url https://ada:hunter2@pypi.example.org/simple"]
    lines += ["      - git+https://hunter2@github.com/ada/x.git", "variables:", "  MY_SETTING: hunter2"]
    conda.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(lines) + "\nEND\n")
    conda.chmod(0o755)
    monkeypatch.setenv("PATH", str(conda.parent), prepend=os.pathsep)
    monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
    run = RunDir(str(tmp_path / "run"))
    run.makedirs()
    assert save_snapshot(run, {}) == []
    kept = run.read_bytes("environment.yml").decode()
    assert "hunter2" not in kept
    assert "numpy=2.0" in kept and "https://pypi.example.org/simple" in kept
