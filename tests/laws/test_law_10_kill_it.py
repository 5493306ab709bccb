"""Law 10: a run killed at any step, or at any write, sync, rename or removal of a save, resumes bit for bit."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest

STEPS, SAVE_EVERY, NUM_RANDOM_KILLS = 8, 3, 10
CHANGING_CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir")


# The run that is killed: in a process that was started fresh, forked for each attempt (torch takes seconds to import)


def _train(folder: Path, kill_in_step: int | None) -> None:
    """A tiny run whose every generator matters: dropout, NumPy as in SpecAugment, Python, SpecAugment-like masking."""
    import numpy as np
    import torch

    from iclal.settings import Settings
    from iclal.training.batches import BatchBudget, Plan, Size
    from iclal.training.optimizer import OptimizerSettings
    from iclal.training.step import SimpleBatch, StepLoss
    from iclal.training.train import fit
    from iclal.training.train_settings import TrainSettings

    class Recipe(Settings):
        train: TrainSettings

    torch.manual_seed(5)
    network = torch.nn.Sequential(
        torch.nn.Linear(6, 12), torch.nn.Dropout(0.3), torch.nn.Tanh(), torch.nn.BatchNorm1d(12), torch.nn.Linear(12, 3)
    )
    plan = Plan({str(number): Size(3 + number % 5) for number in range(17)}, BatchBudget(max_samples=24), seed=3)

    def draw(step: int, micro: int) -> SimpleBatch:
        if (step, micro) == (kill_in_step, 1):
            os.kill(os.getpid(), signal.SIGKILL)
        ids = plan.batch(2 * step + micro)
        rows = torch.stack([torch.randn(6, generator=torch.Generator().manual_seed(int(id))) for id in ids])
        return SimpleBatch(rows, ids, {"rows": len(ids)})

    def loss(batch: SimpleBatch) -> StepLoss:
        rows = batch.content
        assert isinstance(rows, torch.Tensor)
        mask = torch.from_numpy(np.random.rand(6) > 0.2).float() * random.choice([0.5, 1.0, 2.0])
        total = torch.nn.functional.cross_entropy(network(rows * mask), rows[:, :3].argmax(1), reduction="sum")
        order = float(sum((place + 1) * int(id) for place, id in enumerate(batch.ids)))
        return StepLoss(total, len(batch.ids), {"order": order})

    def validate(step: int) -> dict[str, float]:
        return {"score": random.random() + float(torch.rand(())), "loss": float(network(torch.ones(1, 6)).sum())}

    settings = TrainSettings(
        steps=STEPS,
        micro_batches=2,
        log_every_steps=1,
        validate_every_steps=3,
        save_every_steps=SAVE_EVERY,
        keep_checkpoints=2,
        threads=1,
        optimizer=OptimizerSettings(name="muon", learning_rate=0.05, warmup_steps=3),
        tensorboard=False,
    )
    groups = {"all": list(network.parameters())}
    recipe = Recipe(train=settings)
    fit(
        network, groups, draw, loss, settings, folder, recipe=recipe, validate=validate, choose=("loss", "min"),
        resume=True, digests={"plan": plan.digest()},
    )  # fmt: skip


def _trap(kill_at_call: int | None, half: bool) -> list[str]:
    """Lists the calls that change the disk; at one of them, before it or half-way through its write, SIGKILL."""
    calls: list[str] = []

    def wrap(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR):
                return original(*arguments, **keywords)
            calls.append(name)
            if len(calls) - 1 == kill_at_call:
                if half and name == "write":
                    original(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "fsync":  # waits for the disk, which a SIGKILL does not need: what was written is in the system
                return None
            return original(*arguments, **keywords)

        return call

    for name in CHANGING_CALLS:
        setattr(os, name, wrap(name, getattr(os, name)))
    return calls


def _serve(orders: TextIO, answers: TextIO) -> None:
    """Fork a run for each order, a JSON object a line; answer with how it ended."""
    import torch

    import iclal.training.train  # noqa: F401  (imported once, for all forks)

    torch.set_num_threads(1)
    torch.optim.AdamW([torch.zeros(1)])  # the first optimiser of a process imports half of torch
    for line in orders:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os.dup2(os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            status = 1
            try:
                calls = _trap(order.get("kill_at_call"), order.get("half", False))
                _train(Path(order["folder"]), order.get("kill_in_step"))
                Path(order["said"] + ".calls").write_text(json.dumps(calls))
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()


# The law ----------------------------------------------------------------------------------------------------------


class Runner:
    """Asks the server for runs in folders of its own."""

    def __init__(self, root: Path) -> None:
        source = Path(__file__).parents[2] / "src"
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(source)}
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.root = root

    def run(self, folder: Path, **order: Any) -> int:
        """Exit status of a run, minus the signal that ended it."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps({"folder": str(folder), "said": f"{folder}.said", **order}) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def said(self, folder: Path) -> str:
        """What the last run in the folder wrote to stderr."""
        return Path(f"{folder}.said").read_text()

    def close(self) -> None:
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait(30)


@dataclass(frozen=True)
class Outcome:
    """What must be equal: the log without its clock (losses, order, rates, validation) and the last checkpoint."""

    log: list[dict[str, Any]]
    files: dict[str, bytes]

    @classmethod
    def of(cls, folder: Path) -> Outcome:
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        last = folder / "checkpoints" / f"step-{STEPS}"
        state = json.loads((last / "state.json").read_text())
        files = {path.name: path.read_bytes() for path in last.glob("*.safetensors")}
        return cls(
            [{key: value for key, value in line.items() if key != "clock"} for line in lines],
            files | {"state": json.dumps(state | {"elapsed_seconds": 0}).encode()},
        )


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    found = Runner(tmp_path_factory.mktemp("killed"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def unbroken(runner: Runner) -> tuple[Outcome, list[str]]:
    """The run never killed: its outcome, and its calls that change the disk."""
    folder = runner.root / "unbroken"
    assert runner.run(folder) == 0, runner.said(folder)
    return Outcome.of(folder), json.loads(Path(f"{folder}.said.calls").read_text())


def test_the_run_logs_every_step_and_uses_every_generator(unbroken: tuple[Outcome, list[str]]) -> None:
    outcome, calls = unbroken
    assert [line["step"] for line in outcome.log if line["kind"] == "train"] == list(range(1, STEPS + 1))
    assert [line["step"] for line in outcome.log if line["kind"] == "validation"] == [0, 3, 6, 8]
    assert set(outcome.files) == {"weights.safetensors", "optimizer.safetensors", "random.safetensors", "state"}
    assert set(calls) == set(CHANGING_CALLS)


def test_a_second_unbroken_run_is_equal_to_the_first(runner: Runner, unbroken: tuple[Outcome, list[str]]) -> None:
    folder = runner.root / "again"
    assert runner.run(folder) == 0, runner.said(folder)
    assert Outcome.of(folder) == unbroken[0]


def test_killed_at_random_steps_it_ends_like_the_unbroken_run(
    runner: Runner, unbroken: tuple[Outcome, list[str]]
) -> None:
    draw = random.Random(1)
    for number in range(NUM_RANDOM_KILLS):
        folder = runner.root / f"step-{number}"
        first, second = sorted(draw.sample(range(STEPS), 2))  # killed twice: the resumed run is killed, too
        assert runner.run(folder, kill_in_step=first) == -signal.SIGKILL
        assert runner.run(folder, kill_in_step=second) == -signal.SIGKILL
        assert runner.run(folder) == 0, runner.said(folder)
        assert Outcome.of(folder) == unbroken[0], f"killed in steps {first} and {second}"


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True], ids=["before the call", "half-way through a write"])
def test_killed_at_any_call_that_changes_the_disk_it_ends_like_the_unbroken_run(
    runner: Runner, unbroken: tuple[Outcome, list[str]], half: bool
) -> None:
    outcome, calls = unbroken
    for number, name in enumerate(calls):
        if half and name != "write":
            continue
        folder = runner.root / f"call-{half}-{number}"
        assert runner.run(folder, kill_at_call=number, half=half) == -signal.SIGKILL
        assert runner.run(folder) == 0, runner.said(folder)
        assert Outcome.of(folder) == outcome, f"killed at call {number}, {name}"
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "random.safetensors", "state.json", "complete.json"])
@pytest.mark.parametrize("harm", ["cut", "emptied", "changed", "missing"])
def test_a_torn_checkpoint_is_recognised_and_the_one_before_is_used_and_said(
    runner: Runner, unbroken: tuple[Outcome, list[str]], name: str, harm: str
) -> None:
    folder = runner.root / f"torn-{name}-{harm}"
    assert runner.run(folder, kill_in_step=7) == -signal.SIGKILL
    kept = sorted((folder / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
    assert len(kept) >= 2
    path = kept[-1] / name
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": data[:-3], "emptied": b"", "changed": bytes([data[0] ^ 1]) + data[1:]}[harm])
    assert runner.run(folder) == 0, runner.said(folder)
    assert f"{kept[-1].name} is torn" in runner.said(folder)
    assert f"going on from {kept[-2]}" in runner.said(folder).replace("\n", "")
    assert Outcome.of(folder) == unbroken[0]


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
