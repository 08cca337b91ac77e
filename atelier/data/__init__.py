from atelier.data import drawing, mnist

__all__ = ["drawing", "mnist"]
