"""A Plotly figure that updates in place and reports clicks.

`st.plotly_chart` rebuilds a changed figure, which loses the zoom, and reports no clicks on heatmaps. This component
updates the figure with `Plotly.react`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly
import streamlit as st
from plotly.graph_objects import Figure
from streamlit.components.v1 import declare_component

LEGEND = 80  # pixels that a legend takes below a picture
Clicked = Callable[[dict[str, Any]], None]  # receives the point, see `live_figure`

# plotly.js has 4.8 MB. A component of version 2 would send it with each update. The folder of a component of version 1
# has a URL, from which a browser loads the file once.
_folder = declare_component("plotly", path=Path(plotly.__file__).parent / "package_data")
_PLOTLY_JS = f"component/{_folder.name}/plotly.min.js"

_JS = """
// plotly.js keeps a browser busy for a second: tables and texts of the page are drawn first.
const idle = window.requestIdleCallback ?? setTimeout

const loaded = (address) => window.plotlyLoaded ??= new Promise((resolve, reject) => {
  const script = document.createElement("script")
  script.src = new URL(address, document.baseURI)
  script.onload = () => resolve(window.Plotly)
  script.onerror = () => reject(new Error("This figure could not be drawn: plotly.js did not arrive. Reload the page."))
  idle(() => document.head.append(script), { timeout: 2000 })
})

// One figure after another, so that the first is visible while the others are drawn; each waits only once.
const inTurn = (plot) => plot.waiting ??= window.plotlyTurn = Promise.resolve(window.plotlyTurn).catch(() => {})
  .then(() => { plot.waiting = null; draw(plot) })
  .then(() => new Promise((next) => setTimeout(next)))

function theme(plot) {  // the page's colours and font, where the figure sets none
  const css = getComputedStyle(plot), the = (name) => css.getPropertyValue("--st-" + name).trim()
  const axis = { gridcolor: the("border-color-light"), linecolor: the("border-color"), zeroline: false }
  return { layout: {
    font: { family: the("font"), color: the("text-color") },
    paper_bgcolor: the("background-color"), plot_bgcolor: "rgba(0,0,0,0)",  // a downloaded picture needs a background
    xaxis: axis, yaxis: axis,
    legend: { bgcolor: the("background-color") },
    hoverlabel: { bgcolor: the("secondary-background-color"), bordercolor: the("border-color"),
                  font: { family: the("font"), color: the("text-color") }, align: "left", namelength: -1 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: the("gray-color"), activecolor: the("text-color") },
  } }
}

function draw(plot) {
  if (!plot.isConnected || plot.held) return
  const figure = JSON.parse(plot.shown.figure)  // parsed again, because Plotly changes its input
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
  if (!data.figure) {  // from expect_figures
    plot.hidden = true
    loaded(data.plotly).catch(() => {})
    return
  }
  plot.style.height = data.height
  plot.style.minWidth = data.narrowest + "px"
  plot.ariaLabel = data.alt
  plot.shown = data
  plot.click = (point) => data.clickable && setTriggerValue("clicked", point)
  plot.onpointerdown = () => {  // no update while the mouse draws a zoom
    plot.held = true
    const hold = new AbortController()
    const release = () => { hold.abort(); plot.held = false; setTimeout(() => draw(plot)) }
    for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, release, { signal: hold.signal })
  }
  const drawn = loaded(data.plotly).then(() => inTurn(plot), (error) => { plot.textContent = error.message })
  return () => drawn.then(() => {  // also called when a newer run replaces this one
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
    """Show a figure, or update the one with this key.

    Zoom and hidden traces stay until the figure's `uirevision` changes. Text, grid and background take the page's
    colours where the figure sets none.

    Args:
        figure: a figure, which is not changed, or its JSON.
        key: the same on every run.
        height: pixels, or a length in CSS, where 100cqw is the available width.
        alt: a description for people who cannot see the figure.
        on_click: called before the next run with the clicked point: `x`, `y`, `curve` (index of the trace), `point`
            (its index in the trace; row and column in heatmaps and images) and `customdata`.
        narrowest: least width in pixels; on a narrower screen the figure scrolls sideways.
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
    """Let an idle browser load plotly.js, so that a page's first figure appears at once."""
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
    """Show a figure of `plotting.pictures`, whose pixels are square: its height follows the available width.

    Args:
        figure, key, alt, on_click: as for `live_figure`.
        tallest: greatest height of the picture in pixels, without title and legend.
        lowest, narrowest: least height and width in pixels; on a narrower screen the figure scrolls sideways.
    """
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    ratio = (bottom - top) / (right - left)
    narrowest = max(narrowest, round(lowest / ratio))
    legend = figure.layout.showlegend or any(t.type == "heatmap" and t.showscale is not False for t in figure.data)
    around = figure.layout.margin.t + figure.layout.margin.b + LEGEND * legend
    height = f"calc({around}px + min(max(100cqw, {narrowest}px) * {ratio:.4f}, {tallest}px))"
    live_figure(figure, key, height, alt, on_click, narrowest)
