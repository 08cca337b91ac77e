"""Choices that the page's link carries, such as `?view=detector`."""

from collections.abc import Collection
from typing import Any

import streamlit as st

state = st.session_state


def bind(key: str, options: Collection[str], default: str) -> dict[str, Any]:
    """Tie a widget to the parameter `key` of the page's link.

    Streamlit's own `bind="query-params"` writes labels into the link; this writes options, which are keys.

    Args:
        key: of the widget and of the parameter.
        options: of the widget.
        default: the option that the link leaves out.

    Returns:
        arguments for the widget: its key and what happens when its value changes.
    """
    linked = st.query_params.get(key)
    known = state.get(key) in options and linked == state.get(f"{key}_in_link")
    # Assigned in every run: a page that runs again while its networks load would lose the first assignment.
    state[key] = state[key] if known else linked if linked in options else default
    if not known:
        write(key, default)
    return {"key": key, "on_change": write, "args": (key, default)}


def write(key: str, default: str) -> None:
    """Write the widget's value into the link."""
    if state[key] == default:
        st.query_params.pop(key, None)
    else:
        st.query_params[key] = state[key]
    state[f"{key}_in_link"] = st.query_params.get(key)
