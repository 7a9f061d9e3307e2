"""What people do with a registered model: load it by its alias or as a folder, and ask it something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_MAX_NEW_TOKENS = 24


@contextmanager
def asking(server: str) -> Iterator[None]:
    """MLflow asks this server, an address without a path."""
    import mlflow

    mlflow.set_tracking_uri(server)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)


def answer_by_mlflow(model: str, prompt: str) -> str:
    """`model`: such as models:/name@alias."""
    import mlflow.pyfunc
    import pandas

    loaded: Any = mlflow.pyfunc.load_model(model)
    [row] = loaded.predict(pandas.DataFrame({"prompt": [prompt]}), params={"max_new_tokens": _MAX_NEW_TOKENS})
    return str(row["response"])


def scores_by_mlflow(model: str, prompt: str, responses: Sequence[str]) -> list[float]:
    """Of a reward model, for each response."""
    import mlflow.pyfunc
    import pandas

    loaded: Any = mlflow.pyfunc.load_model(model)
    rows = pandas.DataFrame({"prompt": [prompt] * len(responses), "response": list(responses)})
    return [float(row["score"]) for row in loaded.predict(rows)]


def answer_by_transformers(folder: Path, prompt: str) -> str:
    """The same greedy answer, without a line of ours."""
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    model: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, local_files_only=True).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    chat = [{"role": "user", "content": prompt}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    tokens = model.generate(**ids, max_new_tokens=_MAX_NEW_TOKENS, do_sample=False)
    return str(tokenizer.decode(tokens[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))
