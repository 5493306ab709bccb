"""Readers: official corpus layout in, utterances out. One corpus a file."""
