"""The report of a run: `report.json` for programs, a page for people, a table for the terminal.

Reads JSON and recordings, never torch: a report can be rendered anew where no model is installed.

    report.json = {"rows": [...], "meta": {...}, "extras": {...}}

`rows` are what was measured (columns in `rows`). `meta` says how: normaliser with version, decoding settings,
digests, versions, command, seconds, real_time_factor; whatever stands there is shown. `extras` are what a person wants
to see beside the figures, each left out where it is missing:

    training_curves   {model: [{step, loss, parts: {...}, validation: {...}, listening: {right, another, silence}}]}
    listening         [{model, step, right, another, silence}], where they are not in the curves
    clips             see `clips.ClipFields`
    worst             [{id, reference, hypothesis, value}], the transcripts with the most errors
"""
