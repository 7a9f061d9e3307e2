"""What people look at: dashboards and alerts, described once in Python.

panel.py        what a dashboard consists of
pipeline.py training.py morl.py rewards.py data.py evaluation.py operator.py    one dashboard each; catalogue.py all
alerts.py       when somebody should be told
grafana.py      -> Grafana's JSON (dashboards/*.json, by `make generate`)
page.py chart.py prometheus_api.py    the same JSON as a page without Grafana (`mimo dashboards`)
"""
