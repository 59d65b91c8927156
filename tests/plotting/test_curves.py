"""Figures of curves and weights: their content, readability, and refused input."""

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from feature_learning.analysis.curve import Curve
from feature_learning.errors import ArgumentError
from feature_learning.plotting.curves import (
    RC,
    STYLES,
    learning_curves,
    use_style,
    weight_picture,
)

SAMPLES = np.array([100.0, 500.0, 1000.0, 5000.0])


def curve(height, converged=(True, True, True, True), sem=0.1):
    return Curve(
        SAMPLES, height * np.array([1.0, 0.9, 0.5, 0.3]), np.full(4, sem), np.array(converged)
    )


def draw(curves, published=None, **options):
    """The axes and the figure of learning curves, laid out."""
    fig = Figure(figsize=(7, 5))
    ax = fig.add_subplot()
    learning_curves(ax, curves, published or {}, **{"ylabel": "test MSE", **options})
    fig.draw_without_rendering()
    return ax


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def marks(ax, colour, marker):
    """The lines of a colour and a marker."""
    return [
        line
        for line in ax.get_lines()
        if line.get_color() == colour and line.get_marker() == marker
    ]


def shown(ax, line):
    """Places of a line's points in pixels."""
    return ax.transData.transform(line.get_xydata())


EVERYTHING = {name: curve(1 + 0.1 * i) for i, name in enumerate(STYLES)}


# Learning curves


def test_axes_say_what_they_show():
    ax = draw({"equilibrium": curve(1)}, ylabel="the error")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("number of samples $P$", "the error")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert draw({"equilibrium": curve(1)}, log_y=False).get_yscale() == "linear"


def test_the_legend_names_every_method_once_and_nothing_that_is_not_there():
    ax = draw({"equilibrium": curve(1), "nngp": curve(2)})
    assert legend(ax) == ["network, equilibrium", "NNGP (infinite width)"]
    judged = (True, True, False, True)
    ours = {"equilibrium": curve(1, judged), "mf": curve(2, judged)}
    ax = draw(ours, {"mf": curve(2), "longer-run": curve(3)}, level=("mf", 0.15))
    texts = legend(ax)
    assert len(set(texts)) == len(texts)
    assert sorted(texts) == [
        "MF",
        "MF fixed point, $P\\to\\infty$",
        "chains not converged",
        "network, equilibrium",
        "published Figure 1: longer SGLD run",
        "published, same method",
    ]


def test_no_two_legend_entries_look_alike():
    judged = {name: curve(1, (False,) * 4) for name in STYLES if name != "longer-run"}
    ax = draw(judged, EVERYTHING)
    measurements = []
    for handle in ax.get_legend().legend_handles:
        for line in getattr(handle, "lines", None) or [handle]:
            if hasattr(line, "get_marker"):
                measurements.append(
                    (line.get_marker(), line.get_color(), line.get_markerfacecolor())
                )
    assert len(set(measurements)) == len(measurements)
    shapes = [style.marker for name, style in STYLES.items() if "published" not in style.label]
    assert len(set(shapes)) == len(shapes)


def test_points_carry_their_errors_as_bars_and_none_where_the_error_is_unknown():
    ours = curve(1, sem=0.05)
    ours.sem[2] = np.nan
    ax = draw({"equilibrium": ours})
    (bars,) = ax.containers
    segments = bars.lines[2][0].get_segments()
    assert len(segments) == 4
    for (low, high), y, sem in zip(segments, ours.y, [0.05, 0.05, 0, 0.05], strict=True):
        assert low[1] == pytest.approx(y - sem)
        assert high[1] == pytest.approx(y + sem)


def test_published_points_are_hollow_and_without_a_line_and_ours_filled_and_joined():
    ax = draw({"mf": curve(1)}, {"mf": curve(1.2)})
    theirs, ours = sorted(
        marks(ax, STYLES["mf"].colour, "v"), key=lambda line: -line.get_markersize()
    )
    assert theirs.get_markerfacecolor() == "none"
    assert theirs.get_linestyle() == "None"
    assert ours.get_markerfacecolor() == STYLES["mf"].colour
    assert ours.get_linestyle() == "-"
    # Both of one method stand at the same place, near the number of samples.
    np.testing.assert_array_equal(theirs.get_xdata(), ours.get_xdata())
    np.testing.assert_allclose(ours.get_xdata(), SAMPLES, rtol=0.08)


def test_methods_with_the_same_values_do_not_hide_one_another():
    ax = draw({name: curve(1) for name in ("as-run", "equilibrium", "mf", "mf-ard", "nngp")})
    lines = [
        line
        for line in ax.get_lines()
        if line.get_linestyle() == "-" and len(line.get_xdata()) == 4
    ]
    assert len(lines) == 5
    for one, other in itertools.pairwise(lines):
        assert np.abs(shown(ax, one)[:, 0] - shown(ax, other)[:, 0]).min() > 2


def test_exactly_the_judged_points_that_did_not_converge_are_crossed():
    judged = (True, False, True, False)
    ax = draw(
        {"equilibrium": curve(1, judged), "as-run": curve(2, judged), "nngp": curve(3, judged)}
    )
    (cross,) = [line for line in ax.get_lines() if line.get_marker() == "x"]
    assert cross.get_color() == STYLES["equilibrium"].colour
    np.testing.assert_allclose(cross.get_ydata(), curve(1).y[[1, 3]])


def test_the_level_is_a_dotted_line_at_its_value_in_the_methods_colour():
    ax = draw({"mf": curve(1)}, level=("mf", 0.15))
    (line,) = [line for line in ax.get_lines() if line.get_linestyle() == ":"]
    assert set(line.get_ydata()) == {0.15}
    assert line.get_color() == STYLES["mf"].colour


@pytest.mark.parametrize(
    ("curves", "published", "level"),
    [
        ({"magic": curve(1)}, {}, None),
        ({"mf": curve(1)}, {"magic": curve(1)}, None),
        ({"mf": curve(1)}, {}, ("magic", 1.0)),
    ],
)
def test_a_method_without_a_style_is_refused(curves, published, level):
    with pytest.raises(ArgumentError, match=r"^method must be one of .*, not 'magic'"):
        draw(curves, published, level=level)


@pytest.mark.parametrize("name", ["y", "sem", "converged"])
def test_a_curve_has_one_value_a_point_of_everything(name):
    values = {"x": SAMPLES, "y": SAMPLES, "sem": SAMPLES, "converged": np.ones(4, bool)}
    with pytest.raises(ArgumentError, match=f"^{name} must have one value per point"):
        Curve(**{**values, name: values[name][:3]})


# Style


def dichromat(colour, matrix):
    """A colour as seen with one kind of cones missing (Machado et al. 2009, linear RGB)."""
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.clip(np.array(matrix) @ linear, 0, 1) ** (1 / 2.2)


NORMAL = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]


@pytest.mark.parametrize("matrix", [NORMAL, PROTANOPIA, DEUTERANOPIA])
def test_colours_differ_for_readers_with_any_colour_vision(matrix):
    for one, other in itertools.combinations(STYLES.values(), 2):
        seen = [dichromat(style.colour, matrix) for style in (one, other)]
        # Where the colours are close, the shapes differ.
        assert np.abs(seen[0] - seen[1]).max() > 0.1 or one.marker != other.marker
    for name, other in itertools.combinations(("equilibrium", "as-run", "mf", "mf-ard"), 2):
        seen = [dichromat(STYLES[each].colour, matrix) for each in (name, other)]
        assert np.abs(seen[0] - seen[1]).max() > 0.1, (name, other)


def test_the_style_is_opaque_for_dark_pages():
    with mpl.rc_context():
        use_style()
        assert {key: mpl.rcParams[key] for key in RC} == RC
        assert mpl.rcParams["savefig.facecolor"] == "white"


# Weights


def neurons(count, dim=6, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, dim)), random.normal(size=count)


@pytest.mark.parametrize("count", [1, 3, 40, 100])
def test_the_weight_picture_shows_each_neuron_once(count):
    w, overlap = neurons(count)
    fig = Figure()
    weight_picture(fig, [("ours", w, overlap), ("theirs", 2 * w, overlap)], sparsity=2)
    first, second, bar = fig.axes
    assert [ax.get_title() for ax in (first, second)] == ["ours", "theirs"]
    bars = min(count, 40) * 6
    assert len(first.collections[0].get_facecolor()) in (bars, 6 * bars)
    # One scale for both, so that panels can be compared.
    assert first.get_zlim() == second.get_zlim()
    assert first.get_xlabel() == "input coordinate $j$"
    assert "phi" in bar.get_ylabel()


def test_a_weight_picture_of_nothing_or_of_something_else_is_refused():
    w, overlap = neurons(5)
    with pytest.raises(ArgumentError, match=r"^panels must hold"):
        weight_picture(Figure(), [], sparsity=2)
    with pytest.raises(ArgumentError, match=r"^overlap of panel 'ours' must have one number"):
        weight_picture(Figure(), [("ours", w, overlap[:3])], sparsity=2)
    with pytest.raises(ArgumentError, match=r"^sparsity must be"):
        weight_picture(Figure(), [("ours", w, overlap)], sparsity=7)
    with pytest.raises(ArgumentError, match=r"^neurons must be"):
        weight_picture(Figure(), [("ours", w, overlap)], sparsity=2, neurons=0)
