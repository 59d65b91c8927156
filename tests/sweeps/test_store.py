"""The store: written results are read back, and anything else is rejected."""

import errno
import hashlib
import io
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import fitting

from feature_learning import __version__
from feature_learning.cli.main import main
from feature_learning.errors import StoreError
from feature_learning.experiments import keys
from feature_learning.experiments.flat import (
    classes,
    configure,
    flat,
    hints,
    later,
    options_of,
    parts,
    replaced,
)
from feature_learning.experiments.keys import METHOD_VERSIONS, cell_key
from feature_learning.experiments.point import run_point
from feature_learning.experiments.row import Point
from feature_learning.files import atomic, documents
from feature_learning.sweeps.densities import read_npz
from feature_learning.sweeps.provenance import provenance
from feature_learning.sweeps.schema import schema, values_of
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.table import read_csv, tabulate, write_csv


@pytest.fixture
def config(tiny):
    return configure(**tiny)


@pytest.fixture
def results(tmp_path):
    return Store(tmp_path / "results")


@pytest.fixture
def written(results, config):
    """A store with one result; the result's file."""
    return results.write(config, run_point(config), provenance("cpu"))


def resealed(path, **changes):
    """Change a file's fields and make its checksum right again."""
    document = json.loads(path.read_text()) | changes
    document = {name: value for name, value in document.items() if value is not ...}
    document["checksum"] = documents.checksum(document)
    path.write_text(json.dumps(document))


def disk_full(monkeypatch, after=0):
    """From the given number of synchronised files on, the disk is full."""
    plain, seen = os.fsync, []

    def fsync(handle):
        seen.append(handle)
        if len(seen) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(handle)

    monkeypatch.setattr(os, "fsync", fsync)


# What is written is what is read


@pytest.mark.parametrize(
    "options",
    [{}, {"dtype": "float64"}, {"method": "mf-ard"}, {"method": "nngp"}, {"chains": 1}],
    ids=str,
)
def test_a_result_is_read_as_it_was_written(results, tiny, options):
    config = fitting(**{**tiny, **options})
    point, origin = run_point(config), provenance("cpu")
    assert results.read(config) is None
    path = results.write(config, point, origin)
    cell = Store(results.folder).read(config)
    assert path == results.folder / f"{cell.key}.json"
    assert cell.row == point.row
    assert cell.config == config
    assert cell.provenance == origin
    assert cell.wall_seconds == point.row["seconds"]
    assert cell.method_version == METHOD_VERSIONS[config.method.name]
    if point.weights is None:
        assert results.weights(cell) is None
    else:
        np.testing.assert_array_equal(results.weights(cell), point.weights)
        np.testing.assert_array_equal(results.readouts(cell), point.readouts)
    assert results.scan() == ([cell], [])


def test_weights_can_be_left_out(results, config):
    results.write(config, run_point(config), provenance("cpu"), weights=False)
    assert results.weights(results.read(config)) is None
    assert [path.suffix for path in results.folder.iterdir()] == [".json"]


def test_where_a_number_comes_from_is_said(written):
    origin = json.loads(written.read_text())["provenance"]
    assert origin["library_version"] == __version__
    assert origin["date_utc"].endswith("+00:00")
    assert origin["machine"].keys() >= {"cpu", "cores", "torch", "threads", "device"}
    assert origin["machine"]["threads"] == 1


def test_keys_of_a_file_are_sorted(written):
    document = json.loads(written.read_text())
    assert list(document) == sorted(document)
    assert list(document["config"]) == sorted(document["config"])


OTHER = {
    **{"teacher": "single-index", "activation": "erf", "method": "mf", "sampler": "sgld"},
    **{"protocol": "published", "start": "planted", "solver": "collapsed", "device": "cuda"},
    **{"nngp_variant": "as-published", "dtype": "float64", "stop_when_converged": True},
    **{"tile_elements": 2**10, "batch_size": 10, "step_schedule": "cyclical"},
    **{"rounding": "nearest", "quantum_epoch": 20, "kappa_ratio": 1.2},
    **{"members": 5, "moves": 5, "code": "+--+ ++++", "until_settled": True},
}
#: Other options without which an option is refused or has no value; of choices see below.
NEEDED = {"kappa_ratio": {"replicas": 2}, "code": {"sampler": "population"}}


def needed(name):
    """What an option needs: nothing, or the first teacher, method or sampler that has it."""
    if name in NEEDED or any(name in part.options for part in parts({})):
        return NEEDED.get(name, {})
    places = [place.split() for place, part in classes() if name in options_of(part)]
    return dict(places[:1])


@pytest.mark.parametrize("name", hints())
def test_every_option_of_a_configuration_is_part_of_the_key(name):
    base = flat(configure(**{"until_settled": False} | needed(name)))
    value = base[name]
    other = OTHER.get(name, 0.75 if value is None or isinstance(value, float) else None)
    if other is None or name == "particles":
        other = 7 if value is None else value + 1
    assert cell_key(configure(**base | {name: other})) != cell_key(configure(**base))


def test_one_and_one_point_zero_are_the_same_key():
    assert cell_key(configure(kappa=1)) == cell_key(configure(kappa=1.0))
    assert cell_key(configure(n_train=np.int64(10))) == cell_key(configure(n_train=10))


def test_another_version_of_a_method_has_other_keys_and_leaves_those_of_the_others(monkeypatch):
    configs = {method: configure(method=method) for method in METHOD_VERSIONS}
    before = {method: cell_key(config) for method, config in configs.items()}
    monkeypatch.setitem(METHOD_VERSIONS, "mf", 2)
    changed = [name for name, config in configs.items() if cell_key(config) != before[name]]
    assert changed == ["mf"]


def test_a_field_that_comes_later_leaves_the_old_keys_at_its_neutral_value(monkeypatch, config):
    full = cell_key(config)
    monkeypatch.setattr(keys, "later", lambda: later() | {"gamma": 0.5})
    without = cell_key(config)
    assert without != full
    assert cell_key(replaced(config, gamma=1.0)) not in (full, without)


def test_a_cell_stored_before_readouts_were_is_read_without_them(results, config):
    point = run_point(config)
    results.write(config, replace(point, readouts=None), provenance("cpu"))
    cell = results.read(config)
    np.testing.assert_array_equal(results.weights(cell), point.weights)
    assert results.readouts(cell) is None


def test_no_penalty_leaves_a_key_as_it_was_before_there_were_penalties(config):
    assert "penalty" not in keys.canonical(config)
    assert keys.canonical(replaced(config, homogeneity_penalty=2.0))["penalty"] == 2.0


def test_a_table_from_before_penalties_is_read_as_one_without(filled, tmp_path):
    frame, path = tabulate(filled.scan()[0], filled.labels()), tmp_path / "table.csv"
    frame.drop(columns="homogeneity_penalty").to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_csv(path), frame, check_exact=True)


# What is not to be trusted is not believed


def test_a_file_cut_off_anywhere_is_damaged(results, config, written):
    content = written.read_bytes()
    for length in range(0, len(content), 97):
        written.write_bytes(content[:length])
        with pytest.raises(StoreError, match=written.name):
            results.read(config)


def test_any_changed_byte_is_noticed_or_changes_nothing(tmp_path_factory, tiny):
    config, results = configure(**tiny), Store(tmp_path_factory.mktemp("store"))
    path = results.write(config, run_point(config), provenance("cpu"))
    content, known = path.read_bytes(), results.read(config)

    @given(place=st.integers(0, len(content) - 1), byte=st.integers(0, 255))
    def check(place, byte):
        path.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
        sentence, cell = "", None
        try:
            cell = results.read(config)
        except StoreError as error:
            sentence = str(error)
        assert cell == known or path.name in sentence

    check()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"7", b"\xff\xfe", b"NaN", b"hi"])
def test_a_file_of_something_else_is_named(results, config, content):
    path = results.path(config)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=path.name):
        results.read(config)
    cells, problems = results.scan()
    assert cells == []
    assert len(problems) == 1
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 99}, "schema 99"),
        ({"method_version": 99}, "version 99 of method network"),
        ({"key": "other"}, "another configuration"),
        ({"row": ...}, "row"),
        ({"config": {"unknown": 1}}, "unknown"),
        ({"config": {"kappa": -1.0}}, "kappa"),
        ({"config": {"kappa": 0.2}}, "another configuration"),
    ],
    ids=str,
)
def test_a_file_whose_checksum_is_right_must_still_fit(results, config, written, changes, words):
    resealed(written, **changes)
    with pytest.raises(StoreError, match=words):
        results.read(config)


def test_a_result_under_the_name_of_another_is_not_taken_for_it(results, config, written):
    other = replace(config, seed=1)
    results.path(other).write_bytes(written.read_bytes())
    with pytest.raises(StoreError, match="another configuration"):
        results.read(other)
    assert results.read(config) is not None


def test_weights_that_are_missing_or_damaged_are_noticed(results, config, written):
    arrays = written.with_suffix(".npz")
    content = arrays.read_bytes()
    arrays.write_bytes(content[:-1])
    with pytest.raises(StoreError, match=rf"{arrays.name} is damaged"):
        results.read(config)
    arrays.unlink()
    with pytest.raises(StoreError, match=rf"{arrays.name} cannot be read"):
        results.read(config)


def test_a_pickle_in_place_of_weights_is_refused_even_with_a_right_checksum(
    results, config, written
):
    buffer = io.BytesIO()
    np.savez(buffer, weights=np.array([{"a": 1}], dtype=object))
    arrays = written.with_suffix(".npz")
    arrays.write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    resealed(written, arrays={"file": arrays.name, "sha256": digest})
    with pytest.raises(StoreError, match="holds no weights"):
        results.weights(results.read(config))


def test_bad_files_are_set_aside_when_the_cell_is_computed_again(results, config, written):
    point, origin = run_point(config), provenance("cpu")
    for number in (1, 2, 3):
        damaged = f"damage {number}".encode()
        written.write_bytes(damaged)
        results.write(config, point, origin)
        assert results.read(config).row == point.row
        for suffix in (".json", ".npz"):
            old = written.with_suffix(f"{suffix}.rejected-{number}")
            assert old.exists()
        assert written.with_suffix(f".json.rejected-{number}").read_bytes() == damaged
    assert results.scan()[1] == []


def test_a_good_result_is_never_written_over(results, config, written):
    before = written.read_bytes()
    results.write(config, Point({**run_point(config).row, "m_S": 7.0}), provenance("cpu"))
    assert written.read_bytes() == before


@pytest.mark.parametrize("after", [0, 1], ids=["weights", "numbers"])
def test_a_full_disk_is_an_error_with_the_path_and_leaves_nothing_half_written(
    results, config, monkeypatch, after
):
    point, origin = run_point(config), provenance("cpu")
    name = results.path(config).with_suffix(".json" if after else ".npz").name
    with monkeypatch.context() as patch:
        disk_full(patch, after)
        with pytest.raises(StoreError, match=rf"{name} cannot be written: No space left"):
            results.write(config, point, origin)
    assert atomic.leftovers(results.folder) == []
    assert results.read(config) is None
    assert results.scan() == ([], [])
    results.write(config, point, origin)
    assert results.read(config).row == point.row


def test_a_number_that_json_has_not_is_refused(results, config):
    point = run_point(config)
    with pytest.raises(StoreError, match="not finite"):
        results.write(config, Point(point.row | {"m_S": math.nan}), provenance("cpu"))
    assert list(results.folder.iterdir()) == []


def test_temporary_files_of_killed_runs_are_recognised_and_not_read(results, config, written):
    remains = written.with_name(f".{written.name}.abc123.part")
    remains.write_text("half a res")
    assert atomic.leftovers(results.folder) == [remains]
    assert len(results.scan()[0]) == 1
    assert results.scan()[1] == []


def test_a_store_that_is_no_folder_is_refused(tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(StoreError, match="file cannot be used"):
        Store(place)
    with pytest.raises(StoreError, match="absent cannot be used"):
        Store(tmp_path / "absent", create=False)


# Locks


def test_a_cell_has_one_owner_and_a_killed_one_is_none(results, config, environment):
    mine = results.lock(config)
    assert Store(results.folder).lock(config) is None
    other = results.lock(replace(config, seed=1))
    assert other is not None
    other.release()
    mine.release()
    code = (
        "import sys, time; from pathlib import Path\n"
        "from feature_learning import configure\n"
        "from feature_learning.sweeps.store import Store\n"
        f"lock = Store(Path({str(results.folder)!r})).lock(configure(**{flat(config)!r}))\n"
        "print(lock is not None, flush=True); time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout.readline().strip() == b"True"
        assert results.lock(config) is None
        owner.send_signal(signal.SIGKILL)
    lock = results.lock(config)
    assert lock is not None
    lock.release()


# The table


@pytest.fixture
def filled(results, tiny):
    """A store with a result of each kind, under labels."""
    kinds = [{}, {"method": "mf", "particles": 5}, {"method": "nngp"}, {"chains": 1, "seed": 3}]
    configs = [fitting(**{**tiny, **options}) for options in kinds]
    for config in configs:
        results.write(config, run_point(config), provenance("cpu"))
    keys = [cell_key(config) for config in configs]
    results.record("a.toml", "text", {key: ["main"] for key in keys[:3]})
    results.record("b.toml", "text", {keys[0]: ["main", "extra"]})
    return results


def test_the_table_has_a_row_a_cell_with_what_was_computed(filled):
    frame = tabulate(filled.scan()[0], filled.labels())
    assert len(frame) == 4
    assert list(frame.columns) == list(schema())
    for _, line in frame.iterrows():
        cell = next(cell for cell in filled.scan()[0] if cell.key == line["key"])
        sampled = cell.config.method.name != "nngp"
        assert line["method"] == cell.config.method.name
        assert line["test_mse_posterior_mean"] == cell.row["test_mse_posterior_mean"]
        assert line["m_S"] == cell.row["m_S"]
        assert line["wall_seconds"] == cell.row["seconds"]
        assert line["date_utc"] == cell.provenance["date_utc"]
        assert (line["asked_langevin_time"] is pd.NA) == (not sampled)
        assert not sampled or line["asked_langevin_time"] == 40
        assert line["langevin_time"] == pytest.approx(40 if sampled else 0)
        if sampled:
            assert line["test_mse_one_sample"] == cell.row["test_mse"]
            assert line["r_hat_max"] is pd.NA or line["r_hat_max"] == cell.row["r_hat"]
        else:
            assert line["test_mse_one_sample"] is pd.NA
    single = frame[frame["seed"] == 3].iloc[0]
    assert single["m_S_sem"] is pd.NA
    assert single["block"] == ""
    assert frame[frame["method"] == "mf"].iloc[0]["block"] == "main"
    assert "main; extra" in set(frame["block"])


def test_a_damaged_list_of_labels_is_named_and_leaves_the_numbers(filled):
    (first, *_) = (filled.folder / "sweeps").iterdir()
    first.write_text("{}")
    cells, problems = filled.scan()
    assert len(cells) == len(tabulate(filled.scan()[0], filled.labels())) == 4
    assert first.name in problems[0]


def test_a_csv_file_gives_the_table_back_to_the_last_digit(filled, tmp_path):
    frame = tabulate(filled.scan()[0], filled.labels())
    write_csv(frame, tmp_path / "table.csv")
    pd.testing.assert_frame_equal(read_csv(tmp_path / "table.csv"), frame, check_exact=True)


def test_an_empty_store_has_an_empty_table(results, tmp_path):
    frame = tabulate(results.scan()[0], results.labels())
    assert frame.empty
    write_csv(frame, tmp_path / "table.csv")
    pd.testing.assert_frame_equal(read_csv(tmp_path / "table.csv"), frame)


def test_a_table_with_other_columns_or_types_is_refused_by_column(filled, tmp_path):
    frame, path = tabulate(filled.scan()[0], filled.labels()), tmp_path / "table.csv"
    with pytest.raises(StoreError, match="missing m_S; unknown none"):
        write_csv(frame.drop(columns="m_S"), path)
    with pytest.raises(StoreError, match="unknown extra"):
        write_csv(frame.assign(extra=1), path)
    with pytest.raises(StoreError, match=r"column n_train must be of type Int64, not Float64"):
        write_csv(frame.astype({"n_train": "Float64"}), path)
    assert not path.exists()
    write_csv(frame, path)
    text = path.read_text()
    for wrong, words in [
        (text.replace(",parity,6,", ",parity,6.5,"), "column dim"),
        (text.replace(",0.5,relu", ",half,relu"), "column gamma"),
        (text.replace(",False,particles", ",no,particles"), "column stop_when_converged"),
        (text.replace("m_S,", "mS,", 1), "missing m_S; unknown mS"),
        ("", "not a table"),
        ('a,"b\n', "table"),
    ]:
        path.write_text(wrong)
        with pytest.raises(StoreError, match=words):
            read_csv(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(StoreError, match="not a table"):
        read_csv(path)
    with pytest.raises(StoreError, match="absent"):
        read_csv(Path(tmp_path / "absent.csv"))


DAMAGES = [
    {"arrays": 5},
    {"arrays": {"file": 3, "sha256": None}},
    {"arrays": {}},
    {"provenance": None},
    {"provenance": {"machine": 3}},
    {"row": []},
    {"row": {"m_S": "high"}},
    {"wall_seconds": "long"},
    {"method_version": "1"},
    {"key": 7},
    {"config": None},
    {"config": {"seed": 2**63}},
    {"config": {"seed": "0"}},
    {"config": {"kappa": 10**400}},
    {"row": {"m_S": 10**400}},
]


@pytest.mark.parametrize("changes", DAMAGES, ids=str)
def test_a_result_of_other_types_is_named_and_the_others_are_served(
    results, config, written, tmp_path, changes
):
    good = replace(config, seed=1)
    results.write(good, run_point(good), provenance("cpu"))
    row = json.loads(written.read_bytes())["row"]
    if isinstance(changes.get("row"), dict):
        changes = {"row": row | changes["row"]}
    resealed(written, **changes)
    cells, problems = results.scan()
    assert [cell.config for cell in cells] == [good]
    assert len(problems) == 1
    assert written.name in problems[0]
    with pytest.raises(StoreError, match=written.name):
        results.read(config)
    write_csv(tabulate(results.scan()[0], results.labels()), tmp_path / "table.csv")
    assert list(read_csv(tmp_path / "table.csv")["seed"]) == [1]


def test_every_number_of_a_row_is_checked(results, config, written):
    document = json.loads(written.read_bytes())
    content = written.read_bytes()
    row = values_of(results.read(config))
    numbers = document["row"].keys() & row.keys() - flat(config).keys()
    assert len(numbers) > 15
    for name in numbers:
        resealed(written, row=document["row"] | {name: [1]})
        with pytest.raises(StoreError, match=name):
            results.read(config)
        written.write_bytes(content)


def test_what_systems_put_beside_results_is_none(results, config, written):
    for folder in (results.folder, results.folder / "sweeps"):
        folder.mkdir(exist_ok=True)
        (folder / f"._{written.name}").write_bytes(b"\0\5\26\7")
        (folder / ".DS_Store").write_bytes(b"\0")
    cells, problems = results.scan()
    assert ([cell.config for cell in cells], problems) == ([config], [])
    assert results.labels() == {}


def test_what_is_recorded_already_is_not_written_again(results, monkeypatch):
    cells = {"key": ["main"]}
    results.record("f.toml", "text", cells)

    def never(path, content):
        raise AssertionError(path)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write", never)
        results.record("f.toml", "text", cells)
    results.record("f.toml", "other", cells)
    assert len(list((results.folder / "sweeps").iterdir())) == 2


@pytest.mark.parametrize("cells", [None, 5, "w", [], {"k": 5}, {"k": [5]}], ids=str)
def test_a_record_of_other_types_is_named_and_the_cells_are_served(results, config, written, cells):
    results.record("f.toml", "text", {})
    (record,) = (results.folder / "sweeps").iterdir()
    resealed(record, cells=cells)
    found, problems = results.scan()
    assert [cell.config for cell in found] == [config]
    assert len(problems) == 1
    assert record.name in problems[0]
    assert len(tabulate(results.scan()[0], results.labels())) == 1


@pytest.mark.parametrize(
    "weights",
    [np.zeros(()), np.zeros(0), np.zeros((1, 2)), np.full((2, 8, 6), np.nan), np.array(["text"])],
    ids=lambda values: str(values.shape),
)
def test_weights_of_another_shape_are_refused_even_with_a_right_checksum(
    results, config, written, tmp_path, weights
):
    buffer, arrays = io.BytesIO(), written.with_suffix(".npz")
    np.savez(buffer, weights=weights)
    arrays.write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    resealed(written, arrays={"file": arrays.name, "sha256": digest})
    good = replace(config, seed=1)
    results.write(good, run_point(good), provenance("cpu"))
    with pytest.raises(StoreError, match="holds no weights"):
        results.weights(results.read(config))
    npz = tmp_path / "d.npz"
    assert main(["densities", str(results.folder), "--npz", str(npz)]) == 1
    assert len(read_npz(npz)) == 1
