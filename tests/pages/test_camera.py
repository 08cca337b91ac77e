import pytest

from pages.ui.camera import camera_allowed


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("http://localhost:8501/draw", True),
        ("http://127.0.0.1:8501", True),
        ("https://school.example/draw", True),
        ("http://192.168.0.7:8501/draw", False),
        ("http://school.example", False),
        ("", False),
        (None, False),
    ],
)
def test_camera_is_allowed_on_this_computer_and_over_https(address, allowed):
    assert camera_allowed(address) == allowed
