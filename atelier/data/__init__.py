from atelier.data import drawing, mnist, scenes

__all__ = ["drawing", "mnist", "scenes"]
