"""How does the vocabulary of a pretrained byte-level BPE (SmolLM2's) become a tokenizer of ours?

Its ids stay, since the pretrained embedding has a row for each. Behind them come what it lacks: bytes that its corpus
never had (their text would vanish) and Qwen2.5's special tokens, which the chat layout and the model need.
"""

from __future__ import annotations

from collections.abc import Sequence

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from mimo_vl.processing.tokenizer import SPECIAL_TOKENS, Tokenizer


def smollm_tokenizer(
    tokens: Sequence[str], merges: Sequence[tuple[str, str]], *, control_tokens: Sequence[str]
) -> Tokenizer:
    """GPT-2's byte-level BPE with one token per digit, as SmolLM2 splits text.

    Args:
        tokens: of the vocabulary, by id.
        merges: pairs of tokens, most frequent first.
        control_tokens: those of `tokens` that plain text never yields.
    """
    missing_bytes = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - set(tokens))
    vocabulary = {token: token_id for token_id, token in enumerate([*tokens, *missing_bytes])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    special = dict.fromkeys([*control_tokens, *SPECIAL_TOKENS])
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return Tokenizer(backend)
