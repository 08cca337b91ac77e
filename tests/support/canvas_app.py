"""A canvas with strokes that are moved, turned, scaled, skewed and flipped, compared with `rasterise`."""

import numpy as np
import streamlit as st
from streamlit_drawable_canvas import st_canvas

from atelier.data.drawing import CANVAS, from_polylines, rasterise

HOOK = [[60, 60], [130, 50], [100, 150]]
PLACEMENTS = [
    {"left": 100, "top": 100},
    {"left": 250, "top": 90, "angle": 35},
    {"left": 350, "top": 110, "scaleX": 1.4, "scaleY": 0.5},
    {"left": 90, "top": 300, "skewX": 25, "skewY": -10},
    {"left": 220, "top": 300, "flipX": True, "angle": -50, "scaleY": 1.6},
    {"left": 350, "top": 320, "originX": "left", "originY": "top", "angle": 10, "scaleX": 0.5},
]
objects = [
    {**from_polylines([HOOK], 14)["objects"][0], "originX": "center", "originY": "center", **placement}
    for placement in PLACEMENTS
]
result = st_canvas(
    stroke_width=26,
    stroke_color="#ffffff",
    background_color="#000000",
    width=CANVAS,
    height=CANVAS,
    initial_drawing={"objects": objects},
    return_image_data=True,
    key="canvas",
)
if result.image_data is not None:
    difference = np.abs(result.image_data[..., 0].astype(int) - rasterise(result.json_data))
    st.text(f"{len(result.json_data['objects'])} strokes")
    st.text(f"{difference.mean():.4f} mean difference")
    st.text(f"{np.mean(difference > 80):.6f} of the pixels differ")
