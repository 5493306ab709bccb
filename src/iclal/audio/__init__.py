"""The audio wing: any recording to samples, changes to samples, synthesis."""
