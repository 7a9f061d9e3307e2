"""How text becomes token ids: a byte-level BPE with one token per digit, saved as a Hugging Face tokenizer.

Reading and writing need only the `tokenizers` library, so that data jobs start without torch and transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers

from mimo_vl.errors import InputError
from mimo_vl.processing.chat_template import CHAT_TEMPLATE

END_OF_TEXT = "<|endoftext|>"
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"

# Qwen2.5's special tokens in Qwen's order; they get the highest ids.
SPECIAL_TOKENS = (
    END_OF_TEXT,
    TURN_START,
    TURN_END,
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    VISION_START,
    VISION_END,
    "<|vision_pad|>",
    IMAGE_PAD,
    VIDEO_PAD,
)

# Fixed answer wrappers stay in one piece before BPE, so that frequent ones become single tokens. Digits never join.
_WRAPPERS = (
    '```json\n[{"bbox_',
    '```json\n[{"point_',
    'd": [',
    '], "label": "',
    '"}]\n```',
    '{"action":"',
    '","start_point":[',
    '","end_point":[',
    '],"end_point":[',
    '","direction":"',
    '","text":"',
    '","keys":["',
    '","app":"',
    '","status":"',
    '"]}',
    '"}',
    "]}",
    "\\boxed{[",
    "\\boxed{",
    "<think>",
    "</think>",
    "assistant\n",
    "user\n",
    "system\n",
)
# Qwen2's pre-tokenizer after the wrappers; `\p{N}` alone gives one token per digit.
_SPLIT = (
    "|".join(re.escape(w) for w in _WRAPPERS)
    + r"|, ?(?=\p{N})"
    + r"|(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Texts of at most so many characters are remembered, and so many of them.
_SHORT_TEXT, _MAX_KNOWN = 80, 4096


@dataclass(frozen=True, kw_only=True)
class SpecialTokenIds:
    end_of_text: int
    turn_start: int
    turn_end: int
    vision_start: int
    vision_end: int
    image_pad: int
    video_pad: int


class Tokenizer:
    """Text <-> ids. Plain text never yields special tokens: `<|im_end|>` typed by a user is encoded as characters."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        backend.encode_special_tokens = True
        self._backend = backend
        self._known: dict[str, list[int]] = {}
        self.special_ids = SpecialTokenIds(
            end_of_text=self._id(END_OF_TEXT),
            turn_start=self._id(TURN_START),
            turn_end=self._id(TURN_END),
            vision_start=self._id(VISION_START),
            vision_end=self._id(VISION_END),
            image_pad=self._id(IMAGE_PAD),
            video_pad=self._id(VIDEO_PAD),
        )

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; a new list. Short texts are remembered: roles, line ends and questions come again."""
        known = self._known.get(text)
        if known is None:
            known = list(self._backend.encode(text, add_special_tokens=False).ids)
            if len(text) <= _SHORT_TEXT and len(self._known) < _MAX_KNOWN:
                self._known[text] = known
        return known.copy()

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        return str(self._backend.decode([int(i) for i in token_ids], skip_special_tokens=skip_special_tokens))

    def save(self, directory: Path) -> None:
        """Write what `AutoTokenizer.from_pretrained(directory)` reads."""
        directory.mkdir(parents=True, exist_ok=True)
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": TURN_END,
            "pad_token": END_OF_TEXT,
            "model_max_length": 131072,
            "clean_up_tokenization_spaces": False,
            "add_bos_token": False,
            "additional_special_tokens": list(SPECIAL_TOKENS),
        }
        backend_json = json.loads(self._backend.to_str())
        _write_json(directory / "tokenizer.json", backend_json)
        _write_json(directory / "tokenizer_config.json", settings)
        (directory / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")

    def _id(self, token: str) -> int:
        found = self._backend.token_to_id(token)
        if found is None:
            raise InputError(f"tokenizer has no token {token!r}; wanted Qwen2.5's special tokens {SPECIAL_TOKENS}")
        return int(found)


def train_bpe(texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
    """Learn merges from `texts`. The same texts in the same order give the same tokenizer, byte for byte."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        min_frequency=2,
        special_tokens=[],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL_TOKENS])
    return Tokenizer(backend)


def load_tokenizer(directory: Path) -> Tokenizer:
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"no {path}; wanted a folder with a Hugging Face tokenizer (the `tokenizer` output of `base`)")
    return Tokenizer(tokenizers.Tokenizer.from_file(str(path)))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
