"""The evaluation wing: normalising, counting, evaluating, reporting."""
