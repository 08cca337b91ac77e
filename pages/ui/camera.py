"""A photo from the visitor's camera."""

from collections.abc import Callable
from urllib.parse import urlsplit

import streamlit as st


def camera_allowed(url: str | None) -> bool:
    """Whether browsers allow the camera to a page of this address."""
    address = urlsplit(url or "")
    return address.scheme == "https" or address.hostname in ("localhost", "127.0.0.1", "::1")


def camera(label: str, key: str, on_change: Callable[[str], None]) -> None:
    """Show the camera on request, or why it is not available; calls `on_change(key)` when there is a photo."""
    if not camera_allowed(st.context.url):
        st.info(
            "Browsers allow the camera only on this computer or over HTTPS. Take the photo with another app and choose "
            "the file above."
        )
    elif st.toggle("Use the camera", key=f"{key}_wanted"):
        st.camera_input(label, key=key, on_change=on_change, args=(key,))
