"""Thin Ray shells around tested classes; the only part of rl that imports ray.

cluster.py   joins a Ray cluster or starts a local one, places actors on groups, waits with deadlines
rollout.py   rollout workers as actors, all of them as one RolloutEngines
exchange.py  the mailbox between driver and trainer workers
node_metrics.py  an actor on each further node, for its system metrics
trainer.py   the Ray Train worker, and the trainer workers as one TrainerLink
"""
