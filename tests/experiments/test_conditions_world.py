"""The world's test: cells and conditions, what is bound, what is heard and how noisily; all of it can be drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from iclal.data.manifest import Utterance
from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.world import names, sentences, speech, voices
from iclal.data.world.sentences import Taste
from iclal.errors import DataError, SettingsError
from iclal.evaluation.blocks import check_cells, draw_blocks
from iclal.evaluation.evaluate import Pools
from iclal.evaluation.inputs import INPUTS
from iclal.experiments import conditions_world
from iclal.experiments.conditions import QUERIES, Condition
from iclal.experiments.conditions_world import bind, world_cells, world_conditions

SIZE = 20


def told(count: int, seed: int, noisy_share: float = 0.0) -> list[Utterance]:
    """Passages of the test part, cast with its voices, not spoken."""
    rng, found = Random(seed), []
    for number in range(count):
        passage = sentences.passage(rng, f"{seed}-{number}", "test", Taste((1, 4)))
        found.append(speech._cast(passage, voices.cast(rng, "test", noisy_share)))
    return found


def pools_of(grid: str, noisy_share: float = 0.0) -> Pools:
    """Pools as large as the published ones."""
    size = conditions_world._POOL[grid]
    return Pools(told(size, 1, noisy_share), told(size, 2, noisy_share))


@pytest.fixture(scope="module")
def conditions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Condition]]:
    """Both grids' conditions, of small pools, spoken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ICLAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(conditions_world, "_POOL", {"quick": SIZE, "full": SIZE})
        return {grid: {c.name: c for c in world_conditions(grid, 3, progress=False)} for grid in ("quick", "full")}


def shots_of(condition: Condition) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for cell in condition.cells:
        found.setdefault(cell.task, []).append(cell.shots)
    return found


# --- what is asked


def test_the_quick_grid_asks_five_tasks_with_none_and_two_demonstrations() -> None:
    cells = world_cells("quick", Pools(told(8, 1), told(8, 2)))
    tasks = ("transcript", "questions", "summary", "pattern", "labels")
    assert [(cell.task, cell.shots) for cell in cells] == [(task, shots) for task in tasks for shots in (0, 2)]
    check_cells(cells, published=True)


def test_the_full_grid_goes_to_eight_demonstrations_and_four_ways(conditions: dict) -> None:
    full = conditions["full"]
    assert list(full) == ["clean", "unseen-names", "snr-5db", "notes"]
    assert shots_of(full["clean"]) == {
        "transcript": [0, 1, 2, 4],
        "questions": [0, 1, 2, 4, 8],
        "summary": [0, 1, 2, 4],
        "pattern": [0, 1, 2, 4, 8],
        "labels": [0, 4, 8],
        "labels-4": [0, 8],
    }
    basic = {"transcript": [0], "questions": [0], "summary": [0]}
    assert shots_of(full["unseen-names"]) == shots_of(full["snr-5db"]) == basic
    assert shots_of(full["notes"]) == {"voice": [0, 4], "voice-speaker": [0, 4]}
    honest = ("audio", "ceiling", "cascade")
    assert [c.inputs for c in full.values()] == [INPUTS, honest, (*honest, "cascade-ctc"), INPUTS]
    for condition in full.values():
        check_cells(condition.cells, published=True)


def test_the_quick_grid_has_the_clean_condition_alone(conditions: dict) -> None:
    (clean,) = conditions["quick"].values()
    assert (clean.name, clean.inputs, clean.queries) == ("clean", INPUTS, None)
    assert (len(clean.pools.queries), len(clean.pools.demonstrations)) == (SIZE, SIZE)


@pytest.mark.parametrize("grid", ["quick", "full"])
def test_every_published_cell_can_be_drawn_in_full(grid: str) -> None:
    pools = pools_of(grid)
    for cell in world_cells(grid, pools):
        blocks = list(draw_blocks(cell, pools, QUERIES[grid], seed=0))
        asked = [item for block in blocks for item in block.queries]
        assert len(asked) == QUERIES[grid], cell
        assert all(len(block.demonstrations) == cell.shots for block in blocks)
        assert all(item.answer for item in asked), cell
        if cell.task.startswith("labels"):  # each label is asked for and shown about equally often
            ways = 4 if cell.task == "labels-4" else 2
            for block in blocks:
                assert len(block.episode.groups) == ways
                shown = Counter(item.answer for item in block.demonstrations)
                assert set(shown.values()) <= {cell.shots // ways}, (cell, shown)


def test_voice_is_asked_of_what_is_heard_both_ways() -> None:
    pools = pools_of("quick", noisy_share=0.5)
    noisy = sum(u.facts["surroundings"] == "noisy" for u in pools.queries) / len(pools.queries)
    assert 0.4 < noisy < 0.6
    rng = Random(1)
    _, bound, outright, bound_speaker = conditions_world.voice_cells(pools)
    for _ in range(40):
        episode = bound.make_episode(rng)
        assert episode.group is not None
        assert {episode.group(u) for u in pools.queries} >= set(episode.groups) and len(episode.groups) == 2
    assert {episode.candidates for episode in (voice.episode(rng) for _ in range(40))} == {*voice.CANDIDATES.values()}
    # man or woman: adults alone are asked about and shown, at even odds
    for cell in (outright, bound_speaker):
        for block in draw_blocks(cell, pools, 64, seed=0):
            heard = {item.clip.facts["speaker"] for item in (*block.queries, *block.demonstrations)}
            assert heard == {"man", "woman"} and len(block.episode.candidates or ()) == 2
    wordings = {outright.make_episode(rng).instruction for _ in range(60)}
    assert wordings == {*voice.INSTRUCTIONS["speaker"], *voice.HELD_OUT_INSTRUCTIONS["speaker"]}


# --- what is bound


def test_bound_values_are_those_that_both_pools_have_five_times() -> None:
    pools = pools_of("quick")
    make, rng = bind(pools, 2), Random(0)
    attributes: Counter[str] = Counter()
    for _ in range(60):
        episode = make(rng)
        assert episode.group is not None and len(set(episode.groups)) == 2
        assert {names.name_part(label) for label in episode.groups} == {("label", "test")}
        for pool in (pools.queries, pools.demonstrations):
            grouped = Counter(episode.group(utterance) for utterance in pool)
            assert min(grouped[label] for label in episode.groups) >= 5
        attributes.update(name for name in labels.ATTRIBUTES if f" the {name}" in episode.instruction)
    assert len(attributes) >= 3


def test_values_are_counted_in_each_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worked example: red stands five times in both pools, blue and green in one alone, white four times."""

    def pool(name: str, **counts: int) -> list[Utterance]:
        given = [colour for colour, count in counts.items() for _ in range(count)]
        return [Utterance(f"{name}{i}", facts={"colour": colour}) for i, colour in enumerate([*given, ""])]

    pools = Pools(pool("q", red=5, blue=9, white=4), pool("d", red=5, green=9, white=9))
    assert conditions_world._common_values(pools, "colour") == ["red"]
    assert conditions_world._common_values(pools, "place") == []
    make = bind(pools, 2)
    with pytest.raises(DataError, match=r"task labels: no attribute has the 2 values to be bound \(colour 1, place 0"):
        make(Random(0))


# --- what is heard


def test_clean_speech_is_quiet_and_the_notes_are_noisy_by_turns(conditions: dict) -> None:
    full = conditions["full"]
    for name in ("clean", "unseen-names"):
        pools = full[name].pools
        assert {u.facts["surroundings"] for u in (*pools.queries, *pools.demonstrations)} == {"quiet"}
    pools = full["notes"].pools
    surroundings = [u.facts["surroundings"] for u in (*pools.queries, *pools.demonstrations)]
    assert len(surroundings) == SIZE and set(surroundings) == {"quiet", "noisy"}


def test_names_are_known_ones_but_where_the_condition_says_so(conditions: dict) -> None:
    known = {*sentences.lexicon(), *voices.NOTE_WORDS}
    for name, part in (("clean", "train"), ("notes", "train"), ("unseen-names", "test")):
        pools = conditions["full"][name].pools
        words = {w for u in (*pools.queries, *pools.demonstrations) for w in (u.text or "").replace(".", "").split()}
        parts = Counter(names.name_part(word)[1] for word in words - known if names.syllables(word))
        assert set(parts) == {part} and parts[part] > 3, name


def test_five_decibels_are_five_decibels_under_the_same_speech(conditions: dict) -> None:
    clean, noisy = conditions["full"]["clean"], conditions["full"]["snr-5db"]
    assert noisy.pools is clean.pools
    for utterance in clean.pools.queries[:8]:
        plain = clean.hear(utterance).samples.astype(np.float64)
        heard = noisy.hear(utterance).samples.astype(np.float64)
        assert np.abs(heard).max() <= 1.0
        scale = plain @ heard / (plain @ plain)  # the whole is made quieter where it would clip
        noise = heard - scale * plain
        snr_db = 20 * np.log10(scale * np.linalg.norm(plain) / np.linalg.norm(noise))
        assert snr_db == pytest.approx(5.0, abs=0.7)
        np.testing.assert_array_equal(noisy.hear(utterance).samples, noisy.hear(utterance).samples)


def test_the_same_seed_is_the_same_test_and_another_seed_another(
    conditions: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path))
    monkeypatch.setattr(conditions_world, "_POOL", {"quick": 3})
    (one,), (same,), (other,) = (world_conditions("quick", seed, progress=False) for seed in (3, 3, 4))
    assert one.pools == same.pools
    texts = [{u.text for pool in (c.pools.queries, c.pools.demonstrations) for u in pool} for c in (one, other)]
    assert len(texts[0]) == 6 and not texts[0] & texts[1]
    # of a larger test the first passages are the same, spoken alike in another cache
    larger = conditions["quick"]["clean"]
    for few, many in zip(one.pools.queries, larger.pools.queries, strict=False):
        assert (few.id, few.text, few.facts) == (many.id, many.text, many.facts)
        np.testing.assert_array_equal(one.hear(few).samples, larger.hear(many).samples)


def test_an_unknown_grid_is_refused_before_anything_is_spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SettingsError, match="no grid 'wide'; known are quick, full"):
        world_conditions("wide", 0)
    assert not (tmp_path / "cache").exists()


def test_wordings_that_training_knows_are_told_from_the_others_in_every_task() -> None:
    pools = pools_of("quick", noisy_share=0.5)
    tasks = {"transcript": transcript, "questions": questions, "summary": summary, "pattern": pattern}
    for cell in [*conditions_world.world_cells("quick", pools), *conditions_world.voice_cells(pools)]:
        episodes = [cell.make_episode(Random(seed)) for seed in range(60)]
        wordings = {episode.wording for episode in episodes}
        assert wordings == ({"known"} if cell.task.startswith("voice") and cell.shots else {"known", "held-out"})
        if cell.task in tasks:
            held_out = {episode.instruction for episode in episodes if episode.wording == "held-out"}
            assert held_out == {*tasks[cell.task].HELD_OUT_INSTRUCTIONS}
