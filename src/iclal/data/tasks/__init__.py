"""Tasks: utterances to examples. One task a file."""
