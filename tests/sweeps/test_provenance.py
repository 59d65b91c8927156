"""The provenance of a stored result: the code that computed it."""

from pathlib import Path

import feature_learning
from feature_learning.sweeps import provenance


def test_a_change_anywhere_in_the_library_is_part_of_the_revision(monkeypatch):
    asked = {}

    def git(folder, command, *_options):
        asked[command] = folder
        return {"rev-parse": "abc", "status": " M model/student.py"}.get(command, "")

    monkeypatch.setattr(provenance, "_git", git)
    assert provenance.revision.__wrapped__() == "abc+changes"
    assert asked["status"] == Path(feature_learning.__file__).parent


def test_a_file_that_no_checkout_knows_has_no_revision(tmp_path):
    assert provenance.checked_out(tmp_path / "gone.py") is None
