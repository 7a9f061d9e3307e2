"""What happens beside the updates: each callback is one concern.

callback.py    the hooks and when they run
history.py     losses per step, kept through a resume, for metrics.json
throughput.py  tokens/s, patches/s, MFU estimate, data wait
reporting.py   progress record, tracking, log line
"""
