"""What a running process tells: log lines, metrics, memory.

logging.py      one event, one line; JSON on request
metrics.py      every metric name, with unit and help
prometheus.py   the same metrics for a scraper
memory.py       proportional set size of a process tree
"""
