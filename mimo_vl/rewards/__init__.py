"""Rewards in [0, 1] for completions: rules in verifiers/, two reward models, one router, one HTTP service, one judge.

verifiers/        one rule per file, in a plain dict registry
math_pool.py      worker processes with a hard kill deadline (worker code: math_worker.py)
mapping.py        how a raw score becomes a reward in [0, 1]
router.py         task -> verifier or reward model
requests.py       Sample + completion -> ScoreRequest, and back
media.py          bytes of media by content address
reward_model.py   batched scoring with a Bradley-Terry model (the only file here that needs torch, imported lazily)
judge.py          which of two answers is better, asked in both orders
service/          Ray Serve app and HTTP client
"""
