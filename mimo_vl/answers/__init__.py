"""What an answer says and how close it is to the truth. For rewards and evaluation; no torch, network or files.

extraction.py   status, thinking part, last box (brace counting), "the answer is" patterns
letters.py      option letter of a multiple-choice item
numbers.py      one number from text: digits, English words, Chinese numerals
shapes.py       boxes and points from JSON
timespans.py    [mm:ss, mm:ss] and its variants
geometry.py     IoU, GIoU, point in box, optimal matching
temporal.py     temporal IoU
latex.py        one spelling for equal LaTeX
quantities.py   exact numbers with percent and units
mathematics.py  equality of two answers: cheap checks and guards first, then a symbolic check for a worker process
actions.py      the GUI action space: parse, validate, match one step
text.py         token F1, edit distance, ANLS, relaxed accuracy
"""
