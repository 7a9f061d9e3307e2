"""A user's own data: a folder with data.jsonl and pictures.

line.py      one line of data.jsonl
folder.py    every line and picture of a folder, checked
division.py  which lines are for training and which are held out
record.py    a line as a training sample or as a prompt
publish.py   the folder as an artifact named by its digest
"""
