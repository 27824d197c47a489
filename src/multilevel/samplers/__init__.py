"""Samplers of densities: they know targets, not models."""
