"""The report of a run: `report.json` for programs, a page for people, a table for the terminal.

Reads JSON and recordings, never torch: a report can be rendered anew where no model is installed.

    report.json = {"rows": [...], "meta": {...}, "extras": {...}}

`rows` are what was measured (columns in `rows`). `meta` says how: normaliser with version, decoding settings,
digests, versions, command, seconds, times_real_time; whatever stands there is shown. `extras` are what a person wants
to see beside the figures, each left out where it is missing:

    training_curves   {model: lines of the run's metrics.jsonl (kinds train, validation, listening)}
    clips             see `clips.ClipFields`
    worst             [{id, reference, hypothesis, value}], the transcripts with the most errors
    word_errors       [{model, condition, seed, shots, input, wer, substitutions, deletions, insertions, ...}]
    cells             [{model, condition, seed, task, shots, queries, clips, too_long: {input: n}, left_out: [input]}]
    ablations         {ablation: the model it is made of}
"""
