"""The work of the curate-rl stage: rate prompts with the SFT model, keep the useful ones, make preference pairs.

Writes under `out_dir`:
    datasets/rl-<family>/            kept prompts; preference families whole (a model score has no pass rate)
    pass_rates/<family>.jsonl        rewards of every prompt, and what became of it
    pairs/<kind>-{train,heldout}.jsonl, datasets/pairs-<kind>/   preference pairs, and their prompts with media
    report.json                      all counts
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimo_vl.canonical import canonical_json
from mimo_vl.config.rl import CurateRlConfig
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.data.step import Tally
from mimo_vl.data.writers.dataset import seal_dataset
from mimo_vl.data.writers.shard import ShardWriter
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.rewards.judge import Judge
from mimo_vl.rewards.requests import score_request
from mimo_vl.rl.answer_pool import AnswerPool, Answers
from mimo_vl.rl.curation import PassRate, PromptFate, choose_prompts, pass_rate
from mimo_vl.rl.preference import PairCounts, heldout_queries, rank_pairs
from mimo_vl.rl.prompts import dataset_name
from mimo_vl.rl.rollout import Scorer
from mimo_vl.schema.record import Record
from mimo_vl.schema.reward import ScoreRequest
from mimo_vl.schema.rollout import SamplingParams
from mimo_vl.schema.sample import AnswerModel, PreferencePair, Sample
from mimo_vl.vocabulary import RlFamily

QUERY_KINDS = {"text": RlFamily.PREFERENCE_TEXT, "multimodal": RlFamily.PREFERENCE_MULTIMODAL}
# Names of the models that answer.
SFT, BASE = "sft", "base"

OnProgress = Callable[[str, int], None]


class PromptVerdict(Record):
    fate: PromptFate
    rate: PassRate


@dataclass(frozen=True, kw_only=True)
class Curator:
    """`on_progress` gets what was just done and how many prompts it had."""

    config: CurateRlConfig
    seed: int
    source_dir: Path
    out_dir: Path
    encoder: SampleEncoder
    scorer: Scorer
    judge: Judge
    on_progress: OnProgress
    families: Sequence[RlFamily]

    def curate(self, pool: AnswerPool) -> dict[str, dict[str, int]]:
        """Prompts of all families, then pairs of both kinds; returns the counts of prompts by fate and of pairs.

        Every question is asked at once, so that no process waits while answers are judged.
        """
        rated = [family for family in self.families if family not in QUERY_KINDS.values()]
        rollouts = {f: self._ask(pool, SFT, dataset_name(f), self.config.rollouts_per_prompt) for f in rated}
        own = {k: self._ask(pool, SFT, f"queries-{k}", self.config.answers_per_query) for k in QUERY_KINDS}
        other = {k: self._ask(pool, BASE, f"queries-{k}", self.config.base_answers_per_query) for k in QUERY_KINDS}
        report = {dataset_name(f): self._curate_family(f, rollouts.get(f)) for f in self.families}
        for kind in QUERY_KINDS:
            answers = [_by_model(sft, base) for sft, base in zip(own[kind], other[kind], strict=True)]
            report[f"pairs-{kind}"] = self._write_pairs(kind, IndexedDataset(self._folder(f"queries-{kind}")), answers)
        return report

    def _curate_family(self, family: RlFamily, answers: Iterator[list[str]] | None) -> dict[str, int]:
        """None: nothing is rated, all prompts stay."""
        name = dataset_name(family)
        dataset = IndexedDataset(self._folder(name))
        fates = [PromptFate.KEPT] * len(dataset)
        if answers is not None:
            rates = self._pass_rates(dataset, answers)
            fates = choose_prompts(rates, self.config)
            verdicts = [PromptVerdict(fate=f, rate=r).to_json() for f, r in zip(fates, rates, strict=True)]
            _write_lines(self.out_dir / "pass_rates" / f"{family}.jsonl", verdicts)
        is_kept = {PromptFate.KEPT, PromptFate.KEPT_TO_FILL}
        write_subset(dataset, [i for i, f in enumerate(fates) if f in is_kept], self.out_dir / "datasets", name)
        return dict(sorted(Counter(str(f) for f in fates).items()))

    def _write_pairs(
        self, kind: str, dataset: IndexedDataset, answers: Sequence[Mapping[str, AnswerModel]]
    ) -> dict[str, int]:
        queries = [dataset.sample(i) for i in range(len(dataset))]
        counts = PairCounts()
        pairs = [
            rank_pairs(query, texts, self.judge, max_pairs=self.config.max_pairs_per_query, counts=counts)
            for query, texts in zip(queries, answers, strict=True)
        ]
        heldout = heldout_queries(queries, seed=self.seed, fraction=self.config.heldout_pair_fraction)
        split: dict[str, list[PreferencePair]] = {"train": [], "heldout": []}
        for query, found in zip(queries, pairs, strict=True):
            split["heldout" if query.id in heldout else "train"].extend(found)
        for name, members in split.items():
            _write_lines(self.out_dir / "pairs" / f"{kind}-{name}.jsonl", [pair.to_json() for pair in members])
        used = [i for i, found in enumerate(pairs) if found]
        write_subset(dataset, used, self.out_dir / "datasets", f"pairs-{kind}")
        sizes = {f"{name}_pairs": len(members) for name, members in split.items()}
        return {**dict(sorted(counts.counts.items())), **sizes}

    def _pass_rates(self, dataset: IndexedDataset, answers: Iterator[list[str]]) -> list[PassRate]:
        rates: list[PassRate] = []
        for index, texts in enumerate(answers):
            sample = dataset.sample(index)
            requests = [self._request(sample, text, number) for number, text in enumerate(texts)]
            rates.append(pass_rate(sample.id, [result.reward for result in self.scorer.score(requests)]))
        return rates

    def _request(self, sample: Sample, text: str, number: int) -> ScoreRequest:
        sizes = [self.encoder.resized_size(m) for m in sample.media]
        return score_request(sample, text, request_id=f"{sample.id}/{number}", seen_sizes=sizes)

    def _folder(self, name: str) -> Path:
        return self.source_dir / name

    def _ask(self, pool: AnswerPool, model: str, name: str, count: int) -> Iterator[list[str]]:
        """`count` sampled answers to each prompt of a dataset, in order."""
        params = SamplingParams(
            temperature=self.config.temperature,
            max_new_tokens=self.config.max_new_tokens,
            num_samples=count,
            seed=self.seed,
        )
        return self._reported(f"{name} {model}", pool.submit(model, self._folder(name), params))

    def _reported(self, what: str, parts: Iterator[Answers]) -> Iterator[list[str]]:
        for part in parts:
            self.on_progress(what, len(part))
            yield from part


def _by_model(sft: Sequence[str], base: Sequence[str]) -> dict[str, AnswerModel]:
    """Distinct answers in order; one that both models gave is the SFT model's."""
    own = dict.fromkeys(sft, AnswerModel.SFT)
    return own | {text: AnswerModel.BASE for text in base if text not in own}


def write_subset(source: IndexedDataset, indices: Sequence[int], parent: Path, name: str) -> None:
    """A dataset of these records of another one, as one shard."""
    writer = ShardWriter(parent / name, 0)
    for index in indices:
        num_tokens, num_patches = source.cost(index)
        writer.write(source[index], num_tokens=num_tokens, num_patches=num_patches)
    tally = Tally(seen=len(source), kept=len(indices))
    tally.dropped["not_selected"] = len(source) - len(indices)
    seal_dataset(parent / name, name, [writer.close(tally)])


def write_report(out_dir: Path, report: dict[str, dict[str, int]]) -> None:
    (out_dir / "report.json").write_bytes(canonical_json(report) + b"\n")


def _write_lines(path: Path, lines: Sequence[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
