"""The training wing: objectives, batches, one loop, checkpoints."""
