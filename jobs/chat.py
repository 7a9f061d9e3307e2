"""Ask a trained checkpoint about an image: `python -m jobs.chat --run-dir runs/demo --image x.png "prompt"`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mimo_vl.config.compose import load_config
from mimo_vl.errors import InputError, MimoError
from mimo_vl.evaluation.chat import Chat
from mimo_vl.evaluation.infer import ModelUnderTest
from mimo_vl.evaluation.models import ModelSource, load_under_test
from mimo_vl.schema.rollout import SamplingParams
from mimo_vl.storage import store_for_uri
from mimo_vl.storage.artifacts import materialise
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.local.state import RunFolder

# The last model that there is answers.
MODEL_STAGES = (StageName.MORL, StageName.LONG_CONTEXT_SFT, StageName.BASE)


def open_model(run_dir: Path, stage: str = "") -> ModelUnderTest:
    """The model of `stage`, or the last one trained.

    Raises:
        InputError: the run has no such model yet.
    """
    folder = RunFolder(run_dir)
    pipeline = folder.load()
    config = load_config(folder.config_path(pipeline.metadata.uid))
    wanted = (stage,) if stage else MODEL_STAGES
    outputs = {s.name: s for s in pipeline.status.stages if s.output_uri}
    found = next((outputs[name] for name in wanted if name in outputs), None)
    if found is None:
        raise InputError(f"--run-dir: {run_dir} has no model of {' or '.join(wanted)} yet; finished: {sorted(outputs)}")
    directory = materialise(store_for_uri(found.output_uri, config.storage), "", folder.path / "cache")
    source = ModelSource(name=found.name, folder=directory / "model", digest="")
    return load_under_test(source, config.processing, dtype=config.model.dtype)


def main(arguments: Sequence[str], write: Callable[[str], object] = sys.stdout.write) -> int:
    parser = argparse.ArgumentParser(prog="mimo chat", description="Ask a trained checkpoint, about an image or not.")
    parser.add_argument("prompt", nargs="?", help="without it: one prompt per line, an empty line ends")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/demo"))
    parser.add_argument("--image", type=Path)
    parser.add_argument("--stage", default="", help="whose model answers; default: the last one trained")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 = greedy")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--json", action="store_true", help="each answer as an object on a line")
    options = parser.parse_args(arguments)
    params = SamplingParams(temperature=options.temperature, max_new_tokens=options.max_new_tokens)
    try:
        if options.image is not None and not options.image.is_file():
            raise InputError(f"--image: no file {options.image}; give the path of a PNG or JPEG file")
        image = options.image.read_bytes() if options.image is not None else None
        chat = Chat(model=open_model(options.run_dir, options.stage), params=params, image=image)
        answer = _as_object(write) if options.json else write
        chat.converse([options.prompt] if options.prompt else sys.stdin, answer)
    except MimoError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _as_object(write: Callable[[str], object]) -> Callable[[str], object]:
    return lambda text: write(json.dumps({"answer": text.rstrip("\n")}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
