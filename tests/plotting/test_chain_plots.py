"""Plots of chains: each chain in its place, and burn-in shaded."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from feature_learning.errors import ArgumentError
from feature_learning.plotting.chain_plots import rank_plot, trace_plot

LABELS = ["planted", "prior", "planted"]


def noise(shift=0.0, draws=400):
    values = np.random.default_rng(0).standard_normal((3, draws))
    values[1] += shift
    return values


def axes():
    return Figure(layout="constrained").add_subplot()


def test_a_trace_has_a_line_a_chain_and_a_style_a_start():
    ax, times = axes(), np.arange(1.0, 401)
    trace_plot(ax, noise(), times, times > 100, LABELS, ylabel="$m_S$")
    lines = ax.get_lines()
    assert [line.get_label() for line in lines] == ["1: planted", "2: prior", "3: planted"]
    assert len({line.get_color() for line in lines}) == 3
    styles = [line.get_linestyle() for line in lines]
    assert styles[0] == styles[2] != styles[1]
    np.testing.assert_array_equal(lines[1].get_ydata(), noise()[1])
    (shade,) = ax.patches
    assert shade.get_extents().transformed(ax.transData.inverted()).x1 == pytest.approx(101)


def test_nothing_is_shaded_where_everything_counts():
    ax, times = axes(), np.arange(1.0, 401)
    trace_plot(ax, np.exp(noise()), times, times > 0, LABELS, ylabel="", log_y=True)
    assert not ax.patches
    assert ax.get_yscale() == "log"


def heights(ax, chains=3):
    """Of the bars above the base of each row, (chains, bins), first chain first."""
    bars = np.array([bar.get_height() for bar in ax.patches])
    return bars.reshape(chains, -1)


def test_chains_of_one_law_have_flat_ranks_at_the_dotted_line():
    ax = axes()
    rank_plot(ax, noise(draws=4000), LABELS, title="t", bins=10)
    found = heights(ax)
    flat = [
        line.get_ydata()[0] - base for line, base in zip(ax.get_lines(), (2, 1, 0), strict=True)
    ]
    assert flat == pytest.approx([flat[0]] * 3)
    # 4000 draws in 10 bins: 400 each, give or take 19.
    assert found / flat[0] == pytest.approx(np.ones((3, 10)), abs=4.5 * 19 / 400)


def test_a_chain_that_sits_above_has_its_ranks_on_the_right():
    ax = axes()
    rank_plot(ax, noise(shift=20.0), LABELS, title="t", bins=9)
    found = heights(ax)
    assert (found[1, :5] == 0).all()
    assert found[1, 6:].sum() == pytest.approx(found[1].sum())
    assert (found[[0, 2], 7:] == 0).all()
    assert found.max() <= 0.9 + 1e-12  # below the next row
    assert [each.get_text() for each in ax.get_yticklabels()] == [
        "3: planted",
        "2: prior",
        "1: planted",
    ]


def test_the_number_of_bins_follows_the_number_of_draws():
    for draws, bins in ((20, 5), (120, 12), (4000, 20)):
        ax = axes()
        rank_plot(ax, noise(draws=draws), LABELS, title="t")
        assert heights(ax).shape == (3, bins)


@pytest.mark.parametrize(
    ("draws", "labels"), [(noise()[0], LABELS), (noise(), LABELS[:2]), (np.empty((3, 0)), LABELS)]
)
def test_draws_without_a_label_each_are_refused(draws, labels):
    with pytest.raises(ArgumentError, match=r"^draws must be"):
        rank_plot(axes(), draws, labels, title="t")
    with pytest.raises(ArgumentError, match=r"^draws must be"):
        trace_plot(axes(), draws, np.arange(4.0), np.ones(4, bool), labels, ylabel="y")


def test_times_that_are_not_those_of_the_measurements_are_refused():
    with pytest.raises(
        ArgumentError, match=r"^times and counted must have one entry per measurement, 400"
    ):
        trace_plot(axes(), noise(), np.arange(3.0), np.ones(400, bool), LABELS, ylabel="y")
