"""Weights that come with the package."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).with_name("trained")


def trained_names() -> list[str]:
    """The names of the models whose trained weights come with the package."""
    return sorted(path.stem for path in FOLDER.glob("[!.]*.safetensors"))


def trained_weights(name: str) -> Path:
    """The file of trained weights of the model of that name, which `load_weights` reads.

    They are small, in float16, and each made by a recipe of tools/train_generative.py.
    Raises FileNotFoundError that lists those there are.

    >>> trained_weights("digit_classifier").name
    'digit_classifier.safetensors'
    """
    path = FOLDER / f"{name}.safetensors"
    known = trained_names()
    if name not in known:
        raise FileNotFoundError(
            f"trained_weights: name expects one of those that come with the package, {', '.join(known) or 'none'}; "
            f"it is {name!r}"
        )
    return path
