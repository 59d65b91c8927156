"""Figures of distributions: their content, and refused input."""

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from feature_learning.errors import ArgumentError
from feature_learning.plotting.ridgelines import overlap_densities, ridgelines, variance_scale

EDGES = np.linspace(-1, 1, 5)
DENSITY = np.array([[0.0, 1.0, 0.5, 0.001], [0.1, 0.1, 1e-9, 2.0], [1.0, 0, 0, 1.0]])
VARIANCE = np.array([0.5, 0.1, 0.02])


def ridges(**options):
    ax = Figure().add_subplot()
    options = {"sparsity": 1, "norm": variance_scale(VARIANCE), **options}
    mappable = ridgelines(ax, EDGES, DENSITY, VARIANCE, **options)
    return ax, mappable, [patch for patch in ax.patches if isinstance(patch, StepPatch)]


def test_a_ridge_is_the_logarithm_of_its_density_above_the_floor():
    _, _, patches = ridges(floor=1e-3, spacing=2.0)
    for j, patch in zip(reversed(range(3)), patches, strict=True):
        values, edges, baseline = patch.get_data()
        np.testing.assert_array_equal(edges, EDGES)
        assert baseline == 2.0 * j
        expected = 2.0 * j + np.log10(np.maximum(DENSITY[j], 1e-3) / 1e-3)
        np.testing.assert_allclose(values, expected)


def test_a_ridge_has_the_colour_of_its_variance_and_covers_those_behind_it():
    _, mappable, patches = ridges()
    for j, patch in zip(reversed(range(3)), patches, strict=True):
        np.testing.assert_allclose(patch.get_facecolor(), mappable.to_rgba(VARIANCE[j]))
    assert [patch.get_zorder() for patch in patches] == sorted(p.get_zorder() for p in patches)


def test_the_relevant_coordinates_are_set_off():
    ax, _, _ = ridges(sparsity=2, spacing=1.5)
    (line,) = ax.get_lines()
    assert 1.5 < line.get_ydata()[0] < 3.0
    assert not ridges(sparsity=0)[0].get_lines()


def test_the_axis_can_end_before_the_bins():
    assert ridges(limit=0.5)[0].get_xlim() == (-0.5, 0.5)
    assert ridges()[0].get_xlim() == (-1, 1)


def test_one_scale_spans_the_variances_of_all_panels():
    norm = variance_scale(VARIANCE, np.array([3.0]))
    assert (norm.vmin, norm.vmax) == (0.02, 3.0)
    assert variance_scale(np.array([1.0])).vmax > 1
    with pytest.raises(ArgumentError, match="positive"):
        variance_scale(np.array([0.0, 1.0]))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"floor": 0.0}, "floor"), ({"sparsity": 4}, "sparsity")],
)
def test_what_makes_no_ridges_is_refused(options, words):
    with pytest.raises(ArgumentError, match=words):
        ridges(**options)


def test_a_density_that_does_not_fit_is_refused():
    with pytest.raises(ArgumentError, match=r"density must have the shape \(3, 4\)"):
        ridgelines(
            Figure().add_subplot(), EDGES, DENSITY[:2], VARIANCE, sparsity=1,
            norm=variance_scale(VARIANCE),
        )  # fmt: skip


def overlaps(laws, **options):
    ax = Figure().add_subplot()
    overlap_densities(ax, EDGES, laws, **options)
    return ax


def test_an_overlap_density_has_a_band_only_over_several_runs():
    mean, deviation = np.array([0.0, 1.0, 0.5, 0.1]), np.array([0.0, 0.2, 0.1, 0.2])
    ax = overlaps({"mf": (mean, deviation), "as-run": (mean, np.full(4, np.nan))})
    bands = [c for c in ax.collections if isinstance(c, FillBetweenPolyCollection)]
    assert len(bands) == 1
    heights = bands[0].get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(1.2)
    # Bands end at the axis, and where there is nothing there is no band.
    assert heights[heights > 0].min() == pytest.approx(1e-3)
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] == pytest.approx(1e-3)


def test_an_empty_bin_of_an_overlap_density_lies_on_the_axis():
    ax = overlaps({"mf": (np.array([0.0, 1.0, 0.5, 0.1]), np.full(4, np.nan))})
    (patch,) = ax.patches
    assert patch.get_data().values.tolist() == [1e-3, 1.0, 0.5, 0.1]


@pytest.mark.parametrize(
    ("laws", "words"),
    [
        ({"nobody": (np.ones(4), np.ones(4))}, "method"),
        ({"mf": (np.ones(3), np.ones(3))}, "one number per bin"),
        ({"mf": (np.ones(4), np.ones(3))}, "one number per bin"),
    ],
)
def test_an_overlap_density_that_does_not_fit_is_refused(laws, words):
    with pytest.raises(ArgumentError, match=words):
        overlaps(laws)
