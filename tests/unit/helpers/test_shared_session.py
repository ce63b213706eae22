"""Programs in a shared process fail as they would in their own, and leave the process to the next."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.shared_session import SharedSession


@pytest.fixture(scope="module")
def session() -> Iterator[SharedSession]:
    with contextlib.closing(SharedSession()) as session:
        yield session


def run(session: SharedSession, folder: Path, code: str, **environment: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "program.py").write_text(code)
    return session.run(folder / "program.py", folder, **environment)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('before')\nassert 1 == 2, 'not so'", "(?s)before.*program.py.*AssertionError: not so"),
        ("import sys; sys.exit(3)", "exit status 3"),
        ("import sys; sys.exit('no Java')", "no Java"),
        ("import nosuchmodule", "ModuleNotFoundError"),
        ("print('before', flush=True)\nimport os; os._exit(0)", "(?s)has ended its process.*before"),
    ],
)
def test_a_program_that_fails(session: SharedSession, tmp_path: Path, code: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        run(session, tmp_path, code)
    assert run(session, tmp_path, "print('the next')") == "the next\n"


def test_each_has_its_own_surroundings(session: SharedSession, tmp_path: Path) -> None:
    first = (
        "import os, own\nname = own.name\nos.environ['LEFT'] = os.environ['GIVEN']\nprint(name, __name__, os.getcwd())"
    )
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "own.py").write_text("name = 'mine'")
    assert run(session, tmp_path / "one", first, GIVEN="x") == f"mine __main__ {tmp_path / 'one'}\n"
    second = "import os\nprint('name' in globals(), {'LEFT', 'GIVEN'} & os.environ.keys(), os.getcwd())"
    assert run(session, tmp_path / "two", second) == f"False set() {tmp_path / 'two'}\n"


def test_what_the_first_test_has_set_for_itself_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(SharedSession()) as session:
        monkeypatch.setenv("HOPSLITE_PROJECT", str(tmp_path / "elsewhere"))
        assert run(session, tmp_path / "one", "import os; print(os.environ.get('HOPSLITE_PROJECT'))") == "None\n"
