"""Law 14: with sockets refused, local models load, transcribe, are trained, evaluated and reported."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2] / "data"
REFUSED = "the network was asked for"


def refuse(*arguments: Any, **keywords: Any) -> Any:
    """Stands in for every way out. No OSError, which a library could swallow and go on."""
    raise AssertionError(f"{REFUSED}: {arguments}")


def close_the_network() -> None:
    """From now on, in this process, nothing can be connected to, asked for or sent to."""
    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "create_connection"):
        setattr(socket, name, refuse)


def work(folder: Path) -> dict[str, Any]:
    """The whole way on local models; what came out of it."""
    import model_builders
    import yaml

    import iclal
    from iclal.data.manifest import Utterance, write_manifest
    from iclal.evaluation.report.page import write_html
    from iclal.experiments.grid import run_grid
    from iclal.experiments.recipe_speech import speech_for
    from iclal.model.saving import load
    from iclal.training.ears import train_ears
    from iclal.training.recipe import read_recipe

    manifest = folder / "manifest.jsonl"
    lines = [json.loads(line) for line in (DATA / "fsdd" / "manifest.jsonl").read_text().splitlines()][::47]
    kept = ("id", "text", "speaker", "start_seconds", "duration_seconds")
    digits = [
        Utterance(audio=os.path.relpath(DATA / "fsdd" / line["audio"], folder), **{name: line[name] for name in kept})
        for line in lines
    ]
    write_manifest(manifest, digits)
    settings = {
        "language_model": str(model_builders.build_language_model(folder / "language-model")),
        "encoder": str(model_builders.build_encoder(folder / "encoder")),
        "transcription_instruction": "write down what you hear",
        "objectives": {"alignment": 1.0, "distillation": 0.5},
        "data": {"train": str(manifest)},
        "teacher": {"examples": 4, "tasks": ["transcript"], "shots": [0]},
        "validation_clips": 2,
        "train": {"steps": 2, "validate_every_steps": 2, "threads": 1},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings))
    recipe = read_recipe(str(folder / "recipe.yaml"))
    trained = train_ears(recipe, folder / "run", speech_for(recipe), quiet=True)
    model = load(trained.folder)
    audio = iclal.read_audio(DATA / "librispeech" / "audio" / "1089-134691-0000.flac")
    transcript = model.transcribe(audio)
    report = run_grid({"own": model}, folder / "evaluation", manifest=manifest, queries=4, progress=False)
    write_html(report, folder / "again.html")
    return {
        "seconds": vars(transcript)["duration_seconds"],
        "steps": trained.fit.step,
        "rows": len(json.loads(report.read_text())["rows"]),
        "page": (folder / "again.html").stat().st_size,
    }


@pytest.mark.slow
def test_everything_works_on_local_models_with_sockets_refused(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"ICLAL_CACHE": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert REFUSED not in done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["steps"] == 2
    assert result["rows"] > 20
    assert result["page"] > 10_000
    assert result["seconds"] > 1


def test_the_refusal_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", socket.socket.connect)  # put back afterwards
    for name in ("connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, getattr(socket.socket, name))
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "create_connection"):
        monkeypatch.setattr(socket, name, getattr(socket, name))
    close_the_network()
    with socket.socket() as plug, pytest.raises(AssertionError, match=REFUSED):
        plug.connect(("127.0.0.1", 9))
    with pytest.raises(AssertionError, match=REFUSED):
        socket.getaddrinfo("localhost", 80)


if __name__ == "__main__":
    close_the_network()
    print(json.dumps(work(Path(sys.argv[1]))))
