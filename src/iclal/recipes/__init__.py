"""Recipes: one YAML an experiment, with what it is for; what the bundled ones reached stands in docs/results.md."""

from importlib.resources import files


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    found = [path.name for path in files(__name__).iterdir() if path.name.endswith(".yaml")]
    return sorted(name.removesuffix(".yaml") for name in found)
