"""Experiments: whole runs, made of the other wings."""
