"""The spoken world: sentences, facts and voices, generated from a seed."""
