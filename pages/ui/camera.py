"""A photo from the visitor's camera."""

from collections.abc import Callable
from urllib.parse import urlsplit

import streamlit as st


def camera_allowed(url: str | None) -> bool:
    """Whether browsers lend the camera to a page of this address: only on this computer or over HTTPS."""
    address = urlsplit(url or "")
    return address.scheme == "https" or address.hostname in ("localhost", "127.0.0.1", "::1")


def camera(label: str, key: str, on_change: Callable[[str], None]) -> None:
    """A photo on request, or why there can be none; `on_change` is called with the photo's key."""
    if not camera_allowed(st.context.url):
        st.info(
            "Browsers lend the camera only to pages on this computer or over HTTPS. Take the photo with the camera's "
            "own app and choose the file above."
        )
    elif st.toggle("Use the camera", key=f"{key}_wanted"):
        st.camera_input(label, key=key, on_change=on_change, args=(key,))
