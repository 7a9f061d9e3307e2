"""A cluster: the same Plan applied to jobs and pods. kopf watches, a queue of keys works.

__main__.py main.py   the process: lease, store check, watch, workers, liveness
settings.py           what it reads from its environment
handlers.py           kopf: every event only puts a key into the queue
worker.py schedule.py the queue: one key at a time, due times, back-off
controller.py         one round for one pipeline: observe, reconcile, apply
observe.py store_evidence.py refusals.py    the world -> Observed
apply.py              Plan -> the world
compose_runtime.py    spec + operator's settings -> frozen configuration
cluster.py            the only I/O with the Kubernetes API;  resources.py: which resources there are
lease.py lease_keeper.py        which replica works; it ends when it may no longer
health.py             is it still good for anything
shown_pipeline.py     a pipeline as Prometheus sees it
store_check.py        does the store honour conditional writes
permissions.py        every verb it uses
"""
