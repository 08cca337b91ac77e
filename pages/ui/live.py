"""A Plotly figure that changes while it is looked at, and that can be clicked.

`st.plotly_chart` builds a changed figure anew, which loses the zoom, and reports no clicks on heatmaps. This component
changes the figure in its place (`Plotly.react`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly
import streamlit as st
from plotly.graph_objects import Figure
from streamlit.components.v1 import declare_component

LEGEND = 80  # pixels that a legend takes beneath a picture
Clicked = Callable[[dict[str, Any]], None]  # is given the point, see `live_figure`

# plotly.js has 4.8 MB. Text given to a component of version 2 travels with each update; the folder of one of version 1
# has an address, from which a browser asks it once a page.
_folder = declare_component("plotly", path=Path(plotly.__file__).parent / "package_data")
_PLOTLY_JS = f"component/{_folder.name}/plotly.min.js"

_JS = """
// plotly.js keeps a browser busy for a second: what is on the page already, such as a table, is shown before.
const idle = window.requestIdleCallback ?? setTimeout

const loaded = (address) => window.plotlyLoaded ??= new Promise((resolve, reject) => {
  const script = document.createElement("script")
  script.src = new URL(address, document.baseURI)
  script.onload = () => resolve(window.Plotly)
  script.onerror = () => reject(new Error("This figure could not be drawn: plotly.js did not arrive. Reload the page."))
  idle(() => document.head.append(script), { timeout: 2000 })
})

// One figure after another, so that the first can be looked at while the others are drawn; each waits only once.
const inTurn = (plot) => plot.waiting ??= window.plotlyTurn = Promise.resolve(window.plotlyTurn).catch(() => {})
  .then(() => { plot.waiting = null; draw(plot) })
  .then(() => new Promise((next) => setTimeout(next)))

function theme(plot) {  // what a figure leaves open is as on the page around it
  const css = getComputedStyle(plot), the = (name) => css.getPropertyValue("--st-" + name).trim()
  const axis = { gridcolor: the("border-color-light"), linecolor: the("border-color"), zeroline: false }
  return { layout: {
    font: { family: the("font"), color: the("text-color") },
    paper_bgcolor: the("background-color"), plot_bgcolor: "rgba(0,0,0,0)",  // a downloaded picture needs a ground
    xaxis: axis, yaxis: axis,
    legend: { bgcolor: the("background-color") },
    hoverlabel: { bgcolor: the("secondary-background-color"), bordercolor: the("border-color"),
                  font: { family: the("font"), color: the("text-color") }, align: "left", namelength: -1 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: the("gray-color"), activecolor: the("text-color") },
  } }
}

function draw(plot) {
  if (!plot.isConnected || plot.held) return
  const figure = JSON.parse(plot.shown.figure)  // anew: Plotly writes into what it is given
  figure.layout = { uirevision: "kept", ...figure.layout, autosize: true, template: theme(plot) }
  if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false  // a finger scrolls the page
  const still = Object.entries(figure.layout).every(([key, axis]) => !/^[xy]axis/.test(key) || axis.fixedrange)
  window.Plotly.react(plot, figure.data, figure.layout, {
    displaylogo: false,
    modeBarButtons: [still ? ["toImage"] : ["toImage", "resetScale2d"]],
    toImageButtonOptions: { filename: plot.shown.name, scale: 2 },
  })
  if (plot.ready) return
  plot.ready = true
  plot.on("plotly_click", ({ points: [p] }) => plot.click({
    x: p.x, y: p.y, curve: p.curveNumber, point: p.pointNumber,
    customdata: ArrayBuffer.isView(p.customdata) ? [...p.customdata] : p.customdata,
  }))
  plot.resized = new ResizeObserver(() => {
    if (plot.offsetWidth && plot.offsetWidth !== plot._fullLayout.width) window.Plotly.Plots.resize(plot)
  })
  plot.resized.observe(plot)
}

export default function ({ data, parentElement, setTriggerValue }) {
  const plot = parentElement.querySelector(".figure")
  if (!data.figure) {  // see expect_figures
    plot.hidden = true
    loaded(data.plotly).catch(() => {})
    return
  }
  plot.style.height = data.height
  plot.style.minWidth = data.narrowest + "px"
  plot.ariaLabel = data.alt
  plot.shown = data
  plot.click = (point) => data.clickable && setTriggerValue("clicked", point)
  plot.onpointerdown = () => {  // while the mouse draws a zoom, the figure holds still
    plot.held = true
    const hold = new AbortController()
    const release = () => { hold.abort(); plot.held = false; setTimeout(() => draw(plot)) }
    for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, release, { signal: hold.signal })
  }
  const drawn = loaded(data.plotly).then(() => inTurn(plot), (error) => { plot.textContent = error.message })
  return () => drawn.then(() => {  // called for a run that a newer one overtakes, too
    if (plot.isConnected) return
    plot.resized?.disconnect()
    window.Plotly?.purge(plot)
  })
}
"""

_CSS = """
.frame { container-type: inline-size; overflow-x: auto; }
.figure { width: 100%; }
.figure:empty { background: var(--st-secondary-background-color); border-radius: var(--st-base-radius); }
"""

_HTML = '<div class="frame"><div class="figure" role="img"></div></div>'
_component = st.components.v2.component("live_figure", html=_HTML, css=_CSS, js=_JS, isolate_styles=False)


def live_figure(
    figure: Figure | str, key: str, height: int | str, alt: str, on_click: Clicked | None = None, narrowest: int = 0
) -> None:
    """Show a figure, or change the one already shown under this key.

    Zoom and what is hidden in the legend stay as they are until the figure's `uirevision` changes. Text, grid and
    ground take the page's colours where the figure sets none.

    Args:
        figure: a figure, which is not changed, or its JSON.
        key: the same figure on every run has the same key.
        height: pixels, or a length in CSS; the width, 100cqw there, is all that there is.
        alt: what the figure shows, for those who cannot see it.
        on_click: called before the next run with the point clicked: `x`, `y`, `curve` (number of the trace), `point`
            (its number there; row and column in heatmaps and images) and `customdata`.
        narrowest: pixels of width that it keeps on a screen that has less; there it is moved sideways.
    """

    def clicked() -> None:
        point = st.session_state[key].clicked
        if on_click and point:
            on_click(point)

    _component(
        key=key,
        data={
            "figure": figure if isinstance(figure, str) else figure.to_json(),
            "height": height if isinstance(height, str) else f"{height}px",
            "narrowest": narrowest,
            "alt": alt,
            "name": key,
            "clickable": on_click is not None,
            "plotly": _PLOTLY_JS,
        },
        on_clicked_change=clicked,
    )


def expect_figures() -> None:
    """Have the browser read plotly.js while it has nothing else to do, so that a page's first figure comes at once."""
    _component(key="plotly_js", data={"plotly": _PLOTLY_JS})


def live_picture(
    figure: Figure,
    key: str,
    alt: str,
    on_click: Clicked | None = None,
    tallest: int = 400,
    lowest: int = 0,
    narrowest: int = 0,
) -> None:
    """Show a figure of `plotting.pictures`, whose pixels are square: on a phone it is low, on a wide screen high.

    Args:
        figure, key, alt, on_click: as for `live_figure`.
        tallest: pixels that the picture grows to, without title and legend.
        lowest, narrowest: pixels of height and width that it keeps on a smaller screen; there it is moved sideways.
    """
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    ratio = (bottom - top) / (right - left)
    narrowest = max(narrowest, round(lowest / ratio))
    legend = figure.layout.showlegend or any(t.type == "heatmap" and t.showscale is not False for t in figure.data)
    around = figure.layout.margin.t + figure.layout.margin.b + LEGEND * legend
    height = f"calc({around}px + min(max(100cqw, {narrowest}px) * {ratio:.4f}, {tallest}px))"
    live_figure(figure, key, height, alt, on_click, narrowest)
