"""The archive of a program's code: what is in it, and what is not."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from hopslite import experiment
from hopslite.errors import InvalidArguments
from hopslite.programs.command import Command
from hopslite.submission import code_archive
from hopslite.submission.code_archive import pack
from hopslite.submission.job import merged_job
from tests.helpers.commands import OPTIONS, RECORDS_CALL


def names_packed(folder: str, without: list[str] | None = None, project: str | None = None) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(pack(folder, without or [], project))) as archive:
        return {*archive.namelist()}


class TestCode:
    def test_what_is_left_out(self, code: Path) -> None:
        (code / ".hopsliteignore").write_text("# data\n*.csv\n/build/\n!keep.csv\n")
        for name in ("a.csv", "keep.csv", "deep/b.csv", "build/x", "deep/build/y", ".git/config", "x/__pycache__/m.pyc",
                     "größe ü.py", "deep/er/z.py"):  # fmt: skip
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_text(name)
        with zipfile.ZipFile(io.BytesIO(pack(str(code)))) as archive:
            assert archive.namelist() == sorted(
                [".hopsliteignore", "keep.csv", "deep/build/y", "größe ü.py", "deep/er/z.py"]
            )

    @pytest.mark.slow("soak")
    def test_secrets_are_left_out(self, project: str, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (code / ".hopsliteignore").write_text("!.env\n!*.env\n")
        (code / "deep").mkdir()
        for name in (".env", ".env.local", "deep/.env", "my.env", "other.env", "deep/job.yml", "my.txt"):
            (code / name).write_text("TOKEN=s3cret-token\n")
        (code / "link.env").symlink_to("my.env")
        (code / "job.yml").write_text("command: train.py\nenv: {TOKEN: s3cret-token}")
        (code / "deep" / "broken.yml").write_text(f"command: train.py\nenv: {{TOKEN: s3cret-token}}\nx: {'[' * 3000}")
        (code / "plain.yml").write_text("command: train.py\nenv: {}")
        (code / "compose.yaml").write_text("services: {web: {env: 1}}\nenv: {A: 1}")
        (code / "train.py").write_text("")
        monkeypatch.chdir(code)
        given = {"environment": ("link.env", "my.txt", "KEY=s3cret-token")}
        for program in ("train.py", "job.yml", "plain.yml"):
            job = merged_job(program, [], dict(given))
            assert names_packed(job["code"], job["secret"]) == {
                ".hopsliteignore", "deep/job.yml", "plain.yml", "compose.yaml", "train.py"
            }  # fmt: skip

    def test_keys_are_left_out_and_said_to_be(self, code: Path, capfd: pytest.CaptureFixture[str]) -> None:
        (code / "id_rsa").write_text("s3cret")
        pack(str(code))
        assert capfd.readouterr().err == (
            "not sent with the code, as they may hold secrets: id_rsa; a program that needs one gets it with --input\n"
        )
        for name in ("deploy/ID_RSA", "a/server.pem", "a.p12", "b.key", ".ssh/config", ".aws/credentials", ".netrc",
                     "x/.docker/config.json"):  # fmt: skip
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_text("s3cret")
        (code / "account.json").write_text('{"private_key": "-----BEGIN PRIVATE KEY-----\\nMII"}')
        (code / "harmless").symlink_to("id_rsa")
        (code / "id_rsa.pub").write_text("")
        (code / "keys.py").write_text("HEAD = '-----BEGIN PRIVATE KEY-----'")
        assert names_packed(str(code)) == {"id_rsa.pub", "keys.py"}
        assert ": .netrc, a.p12, account.json, b.key, harmless and 4 more;" in capfd.readouterr().err

    @pytest.mark.parametrize("place", ["results", ".", "deep/er"])
    def test_no_runs_and_no_project(
        self, code: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        monkeypatch.chdir(code)
        (code / "train.py").write_text(RECORDS_CALL)
        options = {"name": "job", **OPTIONS}
        run = experiment.launch(Command(("train.py",), (), pack(".")), project=place, **options)
        (code / place / "Models" / "m").mkdir(parents=True)
        for name in ("mlflow.db", "Models/m/weights", "other"):
            (code / place / name).touch()
        shutil.copytree(run.logdir, code / "copied" / "a")
        shutil.copytree(run.logdir, code / "b")
        other = {"train.py", "other" if place == "." else f"{place}/other"}
        assert names_packed(".", project=None) == other
        assert names_packed(".", project=str(code / place)) == (other if place == "." else {"train.py"})
        shutil.rmtree(code / place / "Experiments")
        assert names_packed(".", project=str(code / place)) == (other if place == "." else {"train.py"})
        assert capfd.readouterr().err == ""

    def test_much_is_said_with_the_largest(
        self, code: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(code_archive, "LARGE", 10_000)
        for name, size in (("a/b/large/x", 5000), ("a/b/large/y", 4000), ("a/c", 1000), ("s.bin", 700), ("d/e", 600),
                           ("train.py", 10)):  # fmt: skip
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_bytes(b"0" * size)
        pack(str(code))
        assert capfd.readouterr().err == (
            f"the code in {code} has 11.3 kB, goes to each slot and is kept with each run; list what is no code in "
            ".hopsliteignore, and give data with --input. The largest: a/b/large/ (9.0 kB), s.bin (700 bytes), "
            "d/e (600 bytes)\n"
        )

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"*.csv\n\xff\n", r"ignore, line 2: this is not UTF-8 \(byte 0xff\); save"),
            (b"a\n!\n", "line 2: '!' is no"),
        ],
    )
    def test_what_is_no_list_of_patterns(self, code: Path, content: bytes, message: str) -> None:
        (code / ".hopsliteignore").write_bytes(content)
        with pytest.raises(InvalidArguments, match=message):
            pack(str(code))

    def test_the_same_files_make_the_same_archive(self, code: Path) -> None:
        (code / "a").write_text("1")
        first = pack(str(code))
        os.utime(code / "a", (0, 0))
        assert pack(str(code)) == first

    def test_too_much(self, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(code_archive, "LARGEST", 10)
        (code / "large.bin").write_bytes(b"0" * 11)
        with pytest.raises(InvalidArguments, match=r"11 bytes.*10 bytes may travel.*large.bin \(11 bytes\)"):
            pack(str(code))
