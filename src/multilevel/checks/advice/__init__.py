"""Advice about a model, one a file: `few_groups.py` is what is said about few groups."""
