"""Recipes: one YAML an experiment, with what it needs and what it reached."""
