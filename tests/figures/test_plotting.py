"""Parts of figures."""

import numpy as np

from atelier.figures import plotting


def test_tiles_lie_in_rows_with_gaps():
    cells = np.arange(3, dtype=float).reshape(3, 1, 1) + np.zeros((3, 2, 2))
    sheet = plotting.tile(cells, 2, -1)
    assert sheet.tolist() == [[0, 0, -1, 1, 1, -1]] * 2 + [[-1] * 6] + [[2, 2, -1, -1, -1, -1]] * 2 + [[-1] * 6]


def test_hover_cells_have_a_tooltip_and_a_number_for_each_cell_and_none_for_blanks():
    cells = plotting.hover_cells(["a", "b", "c"], 2, 10, 20, 5, 6, customdata=[100, 101, 102])
    used = ~np.isnan(cells.z)
    assert used.tolist() == [[True, True], [True, False]]
    assert cells.customdata[used].tolist() == [100, 101, 102]
    assert cells.text[used].tolist() == ["a", "b", "c"]
    assert (cells.x0, cells.dx, cells.y0, cells.dy) == (5, 10, 6, 20)
    assert plotting.hover_cells(["a", "b"], 2, 1, 1, 0, 0).customdata.tolist() == [[0, 1]]


def test_legend_has_the_scale_of_its_overlay():
    overlay, legend = plotting.with_legend(plotting.Heatmap(z=[[1]], zmin=0, zmax=3), "#000000", "#ffffff")
    assert not overlay.showscale
    assert (legend.zmin, legend.zmax) == (0, 3)
    assert [list(step) for step in legend.colorscale] == [[0, "#000000"], [1, "#ffffff"]]
