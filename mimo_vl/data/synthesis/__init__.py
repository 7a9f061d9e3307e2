r"""The tiny data: real digits, photographs and prose composed into every data type of the report.

Design: pictures of 56 to 140 px whose parts sit on the 28 px lattice of visual tokens, so that a model of a few million
parameters reads a digit from one token and says where it is from that token's position; prompts of about ten tokens;
answers in the report's forms, whose fixed wrappers are single tokens. A sample takes about 30 tokens and 30 patches.

studio.py        drawing: cells, backgrounds, ink          wording.py    prompts in both languages
draft.py         question + answer -> training sample or prompt
caption.py reading.py grounding.py video.py gui.py reasoning.py text.py preference.py    the generators
catalogue.py     which generators make which dataset, in what shares

What leaves room for RL after supervised training: unseen handwriting, three-term problems, two digits to tell apart in
grounding, event ends in videos.
"""
