"""Distributions of weights and overlaps: their numbers, their file, and refused input."""

import numpy as np
import pytest
import torch

from feature_learning import configure, run_point
from feature_learning.cli.main import main
from feature_learning.errors import ArgumentError, StoreError
from feature_learning.model.overlaps import enumerated_overlap, gaussian_overlap
from feature_learning.sweeps import densities
from feature_learning.sweeps.densities import (
    EDGES,
    describe,
    over_runs,
    overlap_density,
    records,
    records_of,
)
from feature_learning.sweeps.provenance import provenance
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.table import tabulate

TINY = {"dim": 6, "sparsity": 2, "width": 16, "n_train": 20, "n_test": 50, "measurements": 8}
TINY |= {"langevin_time": 20.0, "kappa": 0.1, "chains": 2}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A store with two seeds of a network and one mean field."""
    store = Store(tmp_path_factory.mktemp("store"))
    configs = [configure(seed=0, **TINY), configure(seed=1, **TINY)]
    configs.append(configure(method="mf", **TINY))
    for config in configs:
        store.write(config, run_point(config), provenance("cpu"))
    cells = store.scan()[0]
    store.record("f.toml", "", {c.key: [c.config.method.name] for c in cells})
    return store, cells


@pytest.fixture(scope="module")
def found(stored):
    store, cells = stored
    return records_of(store, cells)


def test_gaussian_weights_have_the_moments_of_a_gaussian():
    w = 0.3 * np.random.default_rng(0).standard_normal((4, 50_000, 3))
    law = describe(w, scale=0.3)
    np.testing.assert_allclose(law["variance"], 0.09, rtol=0.01)
    # The standard error of a kurtosis is sqrt(24/n): 0.011 here.
    np.testing.assert_allclose(law["kurtosis"], 0, atol=0.05)
    assert (law["tail"] < 3e-4).all()
    density = law["counts"] / (law["counts"].sum(axis=1)[:, None] * np.diff(EDGES))
    middle = (EDGES[1:] + EDGES[:-1]) / 2
    exact = np.exp(-(middle**2) / 0.18) / np.sqrt(2 * np.pi * 0.09)
    np.testing.assert_allclose(density, np.broadcast_to(exact, density.shape), atol=0.03)


def test_a_minority_of_large_weights_makes_a_heavy_tail():
    w = np.full((1, 100, 2), 0.1)
    w[0, :5, 0] = 1.0
    law = describe(w, scale=0.1)
    variance = (95 * 0.01 + 5) / 100
    assert law["variance"] == pytest.approx([variance, 0.01])
    fourth = (95 * 1e-4 + 5) / 100
    assert law["kurtosis"] == pytest.approx([fourth / variance**2 - 3, -2])
    assert law["tail"].tolist() == [0.05, 0]


def test_weights_beyond_the_bins_are_counted_apart():
    w = np.zeros((1, 10, 1))
    w[0, :3] = 50.0
    law = describe(w, scale=1.0)
    assert law["outside"].tolist() == [3]
    assert law["counts"].sum() == 7


def test_every_density_integrates_to_the_share_inside_the_bins(found):
    for record in found:
        inside = 1 - record.outside / 32
        np.testing.assert_allclose((record.density * np.diff(EDGES)).sum(axis=1), inside)


def test_the_mean_of_the_overlaps_is_m_S_of_the_predictor(stored, found):
    store, cells = stored
    for cell, record in zip(
        sorted(cells, key=lambda each: each.key),
        sorted(found, key=lambda each: each.origin["key"]),
        strict=True,
    ):
        w, a = store.weights(cell), store.readouts(cell)
        exact = 16**-0.5 * (a * enumerated_overlap(w, 2).numpy()).sum(axis=1).mean()
        # Four irrelevant coordinates are few for a central limit: a few parts in a hundred.
        assert record.overlaps.mean() == pytest.approx(exact, abs=0.02)
        assert record.overlaps.shape == (2 * 16,)


def test_the_ratio_is_that_of_the_variances(found):
    record = found[0]
    expected = record.variance[:2].mean() / record.variance[2:].mean()
    assert record.ratio == pytest.approx(expected)


def test_records_are_read_as_they_were_written(found, tmp_path):
    path = tmp_path / "densities.npz"
    densities.write_npz(found, path)
    again = densities.read_npz(path)
    assert [record.origin for record in again] == [record.origin for record in found]
    for ours, theirs in zip(again, found, strict=True):
        np.testing.assert_array_equal(ours.counts, theirs.counts)
        np.testing.assert_array_equal(ours.outside, theirs.outside)
        for name in ("variance", "kurtosis", "tail", "overlaps"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6)
    with np.load(path, allow_pickle=False) as archive:  # no pickles
        assert all(archive[name].dtype != object for name in archive)


def test_a_file_says_where_its_numbers_come_from(found, tmp_path):
    densities.write_npz(found, tmp_path / "a.npz")
    origin = densities.read_npz(tmp_path / "a.npz")[0].origin
    assert origin["key"].startswith(("network-P20-", "mf-P20-"))
    assert {"revision", "date_utc", "seed", "n_train", "kappa"} <= origin.keys()


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive"])
def test_what_is_no_file_of_densities_is_refused(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="densities"):
        densities.read_npz(path)
    with pytest.raises(StoreError, match="cannot be read"):
        densities.read_npz(tmp_path / "absent.npz")


def test_other_bins_are_refused(found, tmp_path, monkeypatch):
    densities.write_npz(found, tmp_path / "a.npz")
    monkeypatch.setattr(densities, "EDGES", EDGES * 2)
    with pytest.raises(StoreError, match="bins differ"):
        densities.read_npz(tmp_path / "a.npz")


def test_select_finds_blocks_and_values(found):
    assert len(densities.select(found, "network", n_train=20)) == 2
    assert len(densities.select(found, "mf")) == 1
    with pytest.raises(ArgumentError, match="no record of block 'mf'"):
        densities.select(found, "mf", n_train=21)


def test_the_command_writes_the_laws_of_a_folder(stored, found, tmp_path, capsys):
    store, _ = stored
    path = tmp_path / "laws.npz"
    assert main(["densities", str(store.folder), "--npz", str(path)]) == 0
    assert [r.origin for r in densities.read_npz(path)] == [r.origin for r in found]
    assert main(["densities", str(tmp_path / "absent"), "--npz", str(path)]) == 2
    assert "absent" in capsys.readouterr().err


def test_without_readouts_there_are_no_overlaps(stored):
    store, cells = stored
    found = records(
        tabulate(store.scan()[0], store.labels()),
        {cell.key: store.weights(cell) for cell in cells},
        {},
    )
    assert all(record.overlaps.size == 0 for record in found)
    assert overlap_density(found, np.linspace(-1, 1, 5)) is None


def test_the_band_of_an_overlap_density_is_over_runs(found):
    network, edges = densities.select(found, "network"), np.linspace(-2, 2, 9)
    mean, deviation = overlap_density(network, edges)
    each = [np.histogram(r.overlaps, bins=edges)[0] / (32 * 0.5) for r in network]
    np.testing.assert_allclose(mean, np.mean(each, axis=0))
    np.testing.assert_allclose(deviation, np.std(each, axis=0, ddof=1))
    assert np.isnan(overlap_density(network[:1], edges)[1]).all()
    assert over_runs([1.0, 3.0]) == (2.0, pytest.approx(np.sqrt(2)))


def test_weights_that_are_no_numbers_are_refused():
    with pytest.raises(ArgumentError, match="w must be finite"):
        describe(np.full((1, 2, 3), np.nan), scale=1.0)
    with pytest.raises(ArgumentError, match="w must be finite"):
        describe(np.zeros((2, 3)), scale=1.0)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "erf"])
@pytest.mark.parametrize("sparsity", [1, 3])
def test_the_gaussian_overlap_of_a_smooth_neuron_is_near_the_enumerated_one(name, sparsity):
    w = torch.randn(20, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w *= 0.25
    w[:, :sparsity] *= 6
    exact = enumerated_overlap(w, sparsity, name=name)
    assert exact.abs().max() > 0.005
    near = gaussian_overlap(w, sparsity, name=name)
    torch.testing.assert_close(near, exact, rtol=0.06, atol=2e-3)


def test_quadrature_gives_a_linear_neuron_its_weight():
    w = torch.randn(5, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(gaussian_overlap(w, 1, name="linear"), w[:, 0])
