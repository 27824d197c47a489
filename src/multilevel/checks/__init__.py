"""Checks of a fit: scores of prediction, comparison of poolings, influence, residuals, advice; one a file."""
