"""What happened in a run, as one page: report.html of any run, finished or not, from its store.

run.py            the values of a page: stages, attempts, what they left
attempts.py       read the attempts of a stage from the store
read.py           from a store, and what a controller knows, to these values
curves.py         metrics of the journals as series, downsampled
chart_groups.py   which metrics make which chart
svg.py            curves and intervals as inline SVG
stage_graph.py    the stages as a graph and on a time line, as inline SVG
lineage.py        artifact -> its inputs by digest, up to the sources
data_cards.py     what curation kept and dropped
page.py           the values -> HTML (page.html.j2, evaluation.html.j2, style.css)
"""
