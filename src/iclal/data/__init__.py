"""The data wing: utterances, prompts, tasks, corpora and the spoken world."""
