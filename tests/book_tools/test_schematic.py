"""The schematic has three panels, with every neuron inside its panel."""

from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from book_tools.schematic import RING, hierarchy


def test_the_hierarchy_goes_from_all_pairs_to_one_field_to_none_back():
    posterior, mean_field, kernel = hierarchy(Figure(figsize=(10, 4)))
    pairs = len(RING) * (len(RING) - 1) // 2
    assert [len(ax.lines) for ax in (posterior, mean_field, kernel)] == [pairs, 0, 0]
    arrows = [
        [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
        for ax in (posterior, mean_field, kernel)
    ]
    assert [len(found) for found in arrows] == [0, len(RING), len(RING)]
    for ax in (posterior, mean_field, kernel):
        assert sum(isinstance(patch, Circle) for patch in ax.patches) == len(RING)


def test_no_word_leaves_the_figure():
    fig = Figure(figsize=(10, 4))
    hierarchy(fig)
    fig.draw_without_rendering()
    width, height = fig.canvas.get_width_height()
    texts = [*fig.texts, *(text for ax in fig.axes for text in ax.texts)]
    for text in texts:
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= width, text.get_text()
        assert 0 <= box.y0 < box.y1 <= height, text.get_text()
