"""Which model is better at what, and how sure are we.

task.py tasks.py      a task is data; the tiny suite
scorers/              pure functions from response to score
response_log.py       append-only cache of responses, keyed by content
infer.py              ask a model every item that its log does not answer yet
score.py              responses -> scored items -> one number per family
statistics.py         intervals, paired differences, bootstrap, Holm
compare.py            base, SFT and RL side by side; the mean reward
models.py suite.py    load checkpoints; run the suite on worker processes
evaluate.py           the whole of stage `evaluate`
gallery.py pictures.py   which predictions are drawn, and how
collect.py summary.py    what evaluation left behind; summary.json
claims.py             what the demo must have learned
chat.py               one question to a model
"""
