"""Labels as written in the index, and what they mean to a recipe."""

from __future__ import annotations

from aidpost_export.recipe import Recipe

SEPARATOR = "|"
"""Between the labels of one image in a multilabel task."""


def findings_of(label: str, recipe: Recipe) -> frozenset[str]:
    """The findings that a label names; empty for a negative one. Raises `ValueError` saying what is wrong with it."""
    parts = [part.strip() for part in label.split(SEPARATOR)] if recipe.task == "multilabel" else [label]
    known = (*recipe.labels, *recipe.negative)
    for part in parts:
        if part not in known:
            raise ValueError(f"the label {part!r} is none of the recipe's: {', '.join(known)}")
    named = frozenset(part for part in parts if part in recipe.labels)
    if named and len(named) < len(set(parts)):
        raise ValueError(f"the label {label!r} is both negative and a finding")
    return named
