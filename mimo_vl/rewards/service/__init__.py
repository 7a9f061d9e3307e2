"""The reward service: POST /v1/score over HTTP, answered by Ray Serve deployments; and its client.

app.py           deploy() and shutdown(): ingress, rule workers, one deployment per reward model
ingress.py       HTTP: token, limits, validation, split by task, order of results, metrics
deployments.py   what runs inside the replicas
client.py        RewardClient: batches, retries, deadlines
"""
