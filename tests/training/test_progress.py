"""The log file and the lines on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iclal.errors import TrainingError
from iclal.training.progress import RunLog, duration, interval_line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0s"), (59.4, "59s"), (60, "1m00s"), (3599, "59m59s"), (3725, "1h02m"), (183_600, "2d03h")],
)
def test_durations_are_said_in_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_line_of_an_interval_names_rates_with_their_units() -> None:
    values = {"loss": 2.5, "parts": {"ctc": 1.0}, "gradient_norm": 0.25, "targets": 7}
    clock = {"memory_mib": 812.4, "audio_seconds_per_second": 41.23, "tokens_per_second": 15012.3, "eta_seconds": 61.0}
    assert interval_line(values, clock) == (
        "loss 2.500  ctc 1.000  gradient 0.250  41.2 audio seconds/s  15,012 tokens/s  812 MiB  1m01s left"
    )


def test_it_is_cut_back_to_a_step_and_torn_lines_are_left_out(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 9, quiet=True, tensorboard=False)
    log.open(-1)
    for step in range(5):
        log.write("train", step, {"loss": float("nan") if step == 1 else 0.5, "rates": {"a": [float("inf"), 1]}})
    log.close()
    with open(tmp_path / "metrics.jsonl", "a") as handle:
        handle.write('{"kind": "train", "st')
    log.open(2)
    log.write("train", 3, {"loss": 0.25}, {"seconds": 1.0})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    assert lines[1]["loss"] is None and lines[1]["rates"] == {"a": [None, 1]}
    assert lines[3] == {"kind": "train", "step": 3, "loss": 0.25, "clock": {"seconds": 1.0}}


def test_a_log_that_cannot_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot write the log at .*missing"):
        RunLog(tmp_path / "missing", 9, quiet=True, tensorboard=False).open(-1)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard would draw of a run: name -> (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_tensorboard_draws_what_the_log_holds_and_forgets_what_a_resumed_run_tells_anew(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 9, quiet=True)
    log.open(-1)
    for step in (1, 2, 3):
        log.write("train", step, {"loss": 0.5 * step})
    log.close()
    resumed = RunLog(tmp_path, 9, quiet=True)
    resumed.open(2)
    resumed.write("train", 3, {"loss": 8.0})
    resumed.close()
    (drawn,) = scalars(tmp_path / "tensorboard").values()
    assert drawn == [(1, 0.5), (2, 1.0), (3, 8.0)]


def test_on_a_terminal_the_interval_stands_in_the_bar_and_lines_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich this is a terminal
    monkeypatch.setenv("COLUMNS", "100")
    log = RunLog(tmp_path, 900, tensorboard=False)
    log.open(4)
    log.say("validation follows")
    log.show(50, {"loss": 2.5}, {"eta_seconds": 61.0})
    log.close()
    drawn = capsys.readouterr().err
    assert "4/900" in drawn and "validation follows\n" in drawn
    assert "50/900" in drawn and "loss 2.500  1m01s left" in drawn and "0:0" not in drawn
