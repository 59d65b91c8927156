"""Running several notebooks at once."""

import os
import signal
import threading
import time

import pytest

from book_tools import parallel
from book_tools.errors import BookError
from book_tools.parallel import execute_all
from book_tools.project import Project

NOTEBOOK = """\
---
jupytext:
  text_representation:
    format_name: myst
---

# A page

```{{code-cell}} python
:tags: [parameters]
profile = "stored"
```

```{{code-cell}} python
import os, time
from pathlib import Path
{code}
```
"""
#: Tells the others that it is there, and waits for them.
MEET = """
Path("{mine}").touch()
end = time.monotonic() + 60
while not Path("{other}").exists():
    assert time.monotonic() < end, "nobody came"
    time.sleep(0.05)
"""

#: Waits until the process of another, whose kernel wrote its number there, is gone.
OUTLIVE = """
process = int(Path("{other}").read_text())
while True:
    assert time.monotonic() < end, "it lives on"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        break
    time.sleep(0.05)
"""


@pytest.fixture
def write(tmp_path):
    """A function that writes notebooks, name to code, and gives the project and its folder."""

    def write_notebooks(**codes):
        project = Project(tmp_path)
        (tmp_path / "lib").mkdir()
        (tmp_path / "constraints.txt").write_text("")
        for name, code in codes.items():
            (tmp_path / f"{name}.md").write_text(NOTEBOOK.format(code=code))
        return project

    return write_notebooks


def executed(project):
    return sorted(path.stem for path in project.executed("stored").glob("*.ipynb"))


def test_two_run_at_once_and_what_is_up_to_date_is_kept(write, capsys):
    project = write(
        a=MEET.format(mine="a", other="b"),
        b=MEET.format(mine="b", other="a"),
    )
    execute_all(project, ["a", "b"], "stored", stage=project.root, at_once=2)
    assert executed(project) == ["a", "b"]
    before = [path.stat().st_mtime_ns for path in sorted(project.executed("stored").iterdir())]
    assert "kept" not in capsys.readouterr().out
    execute_all(project, ["a", "b"], "stored", stage=project.root, at_once=2)
    after = [path.stat().st_mtime_ns for path in sorted(project.executed("stored").iterdir())]
    assert after == before
    assert capsys.readouterr().out == "a: unchanged, kept\nb: unchanged, kept\n"


def test_the_threads_of_the_machine_are_shared_out(write, monkeypatch):
    monkeypatch.setattr("feature_learning.experiments.hardware.usable_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    code = "Path('threads').write_text(os.environ['OMP_NUM_THREADS'])"
    project = write(a=code)
    execute_all(project, ["a"], "stored", stage=project.root)
    assert (project.root / "threads").read_text() == "3"


def test_a_failure_starts_nothing_new_lets_the_others_end_and_is_named(write):
    project = write(
        good=MEET.format(mine="good", other="failed") + OUTLIVE.format(other="failed"),
        bad=MEET.format(mine="bad", other="good")
        + "Path('number').write_text(str(os.getppid())); Path('number').rename('failed')\n"
        + "int('cold')",
        never="Path('never').touch()",
    )
    pages = ["good", "bad", "never"]
    with pytest.raises(BookError, match=r"bad\.md:15: this cell raised ValueError") as caught:
        execute_all(project, pages, "stored", stage=project.root, at_once=2)
    assert "'cold'" in str(caught.value)
    assert executed(project) == ["good"]
    assert not (project.root / "never").exists()


def test_a_process_that_dies_is_an_error_that_names_its_page(write, monkeypatch):
    project = write(a="os.kill(os.getppid(), 9)")
    with pytest.raises(BookError, match="a: its process was killed by signal 9"):
        execute_all(project, ["a"], "stored", stage=project.root, at_once=1)


def test_an_interrupt_ends_what_runs_and_keeps_what_was_finished(write, monkeypatch):
    project = write(
        done="pass",
        long="Path('started').write_text(str(os.getpid()))\ntime.sleep(600)",
    )

    tell_when(lambda: (project.root / "started").exists() and executed(project) == ["done"])
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        execute_all(project, ["done", "long"], "stored", stage=project.root, at_once=2)
    assert time.monotonic() - begun < 60
    assert executed(project) == ["done"]
    kernel = int((project.root / "started").read_text())
    end = time.monotonic() + 20
    while alive(kernel):
        assert time.monotonic() < end, "the kernel goes on"
        time.sleep(0.1)


def test_a_process_that_does_not_heed_is_ended(write, monkeypatch):
    monkeypatch.setattr(parallel, "PATIENCE", 0.5)
    # A process that is stopped hears nothing but SIGKILL.
    project = write(
        deaf="import signal; process = os.getppid()\nos.kill(process, signal.SIGSTOP)\n"
        "Path('number').write_text(str(process)); Path('number').rename('stopped')\n"
        "time.sleep(600)"
    )
    stopped = project.root / "stopped"
    tell_when(stopped.exists)
    with pytest.raises(KeyboardInterrupt):
        execute_all(project, ["deaf"], "stored", stage=project.root, at_once=1)
    assert not alive(int(stopped.read_text()))
    assert executed(project) == []


def tell_when(true):
    """Send this process what Ctrl-C sends, once something holds."""

    def tell():
        while not true():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=tell, daemon=True).start()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
