"""The atomic writer: through links, and into devices, pipes and streams."""

import os
import stat
import threading
from pathlib import Path

import pytest

from feature_learning.files import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_has_the_mode_of_any_new_file_and_its_folder_is_made(tmp_path):
    path, plain = tmp_path / "deep" / "er" / "new.txt", tmp_path / "plain.txt"
    atomic.write(path, "κ\r\n")
    plain.touch()
    assert path.read_bytes() == "κ\r\n".encode()
    assert path.stat().st_mode == plain.stat().st_mode
    assert names(path.parent) == ["new.txt"]


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("old")
    path.chmod(0o600)
    atomic.write(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)


def test_what_fails_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail():
        with atomic.replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_link_stays_a_link_and_its_target_is_written(tmp_path, there):
    target, link = tmp_path / "folder" / "real.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    link.symlink_to("over.csv")
    (tmp_path / "over.csv").symlink_to("folder/real.csv")
    atomic.check_writable(link)
    atomic.write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert names(tmp_path / "folder") == ["real.csv"]


def test_a_link_in_a_circle_is_an_error_and_stays(tmp_path):
    link = tmp_path / "circle"
    link.symlink_to("circle")
    with pytest.raises(OSError, match="circle"):
        atomic.write(link, "new")
    assert link.is_symlink()


def test_a_device_stays_a_device():
    device = Path(os.devnull)
    before = device.stat()
    atomic.check_writable(device)
    atomic.write(device, b"anything")
    after = device.stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_rdev) == (before.st_ino, before.st_rdev)


def test_a_full_device_is_an_error_that_names_it():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no full device")
    with pytest.raises(OSError, match="No space left"):
        atomic.write(full, b"anything")
    assert stat.S_ISCHR(full.stat().st_mode)


def test_a_pipe_is_written_into(tmp_path):
    path, heard = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: heard.append(path.read_bytes()))
    reader.start()
    with atomic.replacing(path) as file:
        file.write(b"01234")
        file.seek(1)  # as archives do
        file.write(b"x")
    reader.join(10)
    assert heard == [b"0x234"]
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_is_written_into_after_what_was_printed(capfd, name):
    print("before")
    atomic.check_writable(Path(name))
    atomic.write(Path(name), "the table\n")
    print("after")
    assert capfd.readouterr().out == "before\nthe table\nafter\n"
    assert not os.path.lexists("-")


def test_a_file_that_is_open_as_standard_output_is_added_to(tmp_path):
    log = tmp_path / "log"
    kept = os.dup(1)
    try:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
        os.write(1, b"before ")
        atomic.write(log, "table ")
        os.write(1, b"after")
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert log.read_text() == "before table after"


def test_a_folder_and_a_protected_file_are_refused(tmp_path, monkeypatch):
    for act in (atomic.check_writable, lambda path: atomic.write(path, b"")):
        with pytest.raises(IsADirectoryError):
            act(tmp_path)
    path = tmp_path / "protected"
    path.write_text("old")
    # The superuser may write everything.
    monkeypatch.setattr(os, "access", lambda where, mode: False)
    for act in (atomic.check_writable, lambda path: atomic.write(path, b"")):
        with pytest.raises(PermissionError, match="protected"):
            act(path)
    assert path.read_text() == "old"


def test_what_cannot_be_written_is_named_as_it_was_asked_for():
    with pytest.raises(OSError, match=r"'/proc/new\.csv'"):
        atomic.check_writable(Path("/proc/new.csv"))


def test_a_check_leaves_nothing(tmp_path):
    path = tmp_path / "new.csv"
    atomic.check_writable(path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("letter", ["a", "κ"])
def test_a_name_of_every_length_that_a_folder_takes_can_be_written(tmp_path, letter):
    path = tmp_path / (letter * (255 // len(letter.encode())))
    atomic.write(path, "long")
    assert path.read_text() == "long"
