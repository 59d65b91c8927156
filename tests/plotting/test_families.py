"""Curves of one setting: colours, partners, and refused input."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from feature_learning.analysis.curve import Curve
from feature_learning.errors import ArgumentError
from feature_learning.plotting.families import COLOURS, MARKERS, curves_by_noise, family_curves

CURVE = Curve(np.array([10.0, 100.0]), np.array([1.0, 0.1]), np.full(2, np.nan), np.ones(2, bool))


def drawn(curves, published=None, **options):
    ax = Figure().add_subplot()
    family_curves(ax, curves, published, ylabel="test MSE", **options)
    return ax


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_value_has_a_colour_of_its_own_and_a_dashed_curve_that_of_its_partner():
    curves = {"a": CURVE, "a, later": CURVE, "b": CURVE}
    lines = drawn(curves, dashed=("a, later",)).get_lines()
    assert [line.get_color() for line in lines] == [COLOURS[0], COLOURS[0], COLOURS[1]]
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-"]


def test_published_points_are_hollow_and_named():
    ax = drawn({"a": CURVE, "b": CURVE}, {"b": CURVE})
    assert legend(ax) == ["a", "b", "b, published"]
    assert [line.get_markerfacecolor() for line in ax.get_lines()][-1] == "none"
    told = {"b": "published, longer runs"}
    assert legend(drawn({"b": CURVE}, {"b": CURVE}, published_labels=told)) == ["b", told["b"]]


def test_the_axes_are_as_asked_for():
    assert drawn({"a": CURVE}).get_yscale() == "log"
    ax = drawn({"a": CURVE}, log_y=False)
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_ylabel()) == ("log", "linear", "test MSE")


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(ArgumentError, match="one too many"):
        drawn({str(number): CURVE for number in range(7)})
    with pytest.raises(ArgumentError, match="belongs to no curve"):
        drawn({"a": CURVE}, {"b": CURVE})


# Curves by noise


def test_each_noise_has_a_colour_and_a_marker_and_those_without_learning_are_grey_together():
    ax = Figure().add_subplot()
    nothing = Curve(*np.zeros((3, 0)), np.zeros(0, bool))
    curves = {0.1: CURVE, 0.001: CURVE, 0.01: nothing, 0.05: CURVE}
    handles = curves_by_noise(ax, curves, ylabel="test MSE", together=0.02)
    assert [handle.get_label() for handle in handles] == [
        r"$\kappa=0.001$", r"$\kappa=0.01$", r"$\kappa=0.05$ and more",
    ]  # fmt: skip
    drawn = {container.lines[0].get_color() for container in ax.containers}
    assert drawn == {COLOURS[0], COLOURS[1], "#9a9a9a"}
    assert [handle.get_marker() for handle in handles[:2]] == list(MARKERS[:2])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_a_single_grey_noise_is_named():
    curves = {0.001: CURVE, 0.05: CURVE}
    handles = curves_by_noise(Figure().add_subplot(), curves, ylabel="", together=0.02)
    assert handles[-1].get_label() == r"$\kappa=0.05$"


def test_noises_that_cannot_be_told_apart_are_refused():
    ax = Figure().add_subplot()
    with pytest.raises(ArgumentError, match=r"^curves must hold at least one curve"):
        curves_by_noise(ax, {}, ylabel="test MSE")
    with pytest.raises(ArgumentError, match="must be at most 6"):
        curves_by_noise(ax, {float(number): CURVE for number in range(1, 8)}, ylabel="test MSE")
