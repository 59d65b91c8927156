"""The interactive diagram needs no network and shows every number."""

import re

from diagrams import table

from book_tools.hover import hover_page
from feature_learning.plotting.phase_diagrams import SINGLE_INDEX_WINDOW


def test_the_interactive_figure_has_every_method_and_asks_no_other_host():
    rows = table((100, 0.001, 0.5), (1000, 0.01, 0.02))
    page = hover_page(
        {"a": rows, "b": rows[:1]},
        {"a": rows, "b": rows},
        labels={"a": "Method A", "b": "Method B"},
        description='A "map"',
    )
    assert not re.findall(r"<(?:script|link)[^>]*(?:src|href)=", page)
    assert 'aria-label="A &quot;map&quot;"' in page
    data = page[page.rindex("Plotly.newPlot") :]
    assert "Method A: half test MSE 0.02" in data.replace("\\u003c", "<")
    assert "Method B: not computed" in data
    assert data.count("heatmap") >= 2


def test_the_unit_is_that_of_the_window():
    rows = table((100, 0.001, 0.5), (1000, 0.01, 0.02))
    page = hover_page(
        {"a": rows}, {"a": rows}, labels={"a": "A"}, description="map", window=SINGLE_INDEX_WINDOW
    )
    data = page[page.rindex("Plotly.newPlot") :]
    assert "A: test MSE 0.02" in data.replace("\\u003c", "<")
    assert "half" not in data


def test_an_overlap_that_is_not_known_is_left_out():
    rows = table((100, 0.001, 0.5), (1000, 0.01, 0.02))
    page = hover_page({"a": rows}, {"a": rows[:1]}, labels={"a": "A"}, description="map")
    data = page[page.rindex("Plotly.newPlot") :].replace("\\u003c", "<")
    assert "A: half test MSE 0.5 ± 0.1, m_S 0.500" in data.replace("\\u00b1", "±")
    assert "m_S nan" not in data
