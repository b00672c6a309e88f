"""What lessons and courses are made with."""

from .lesson import Lesson

__all__ = ["Lesson"]
