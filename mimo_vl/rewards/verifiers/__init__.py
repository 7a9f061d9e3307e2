"""Rule-based rewards (report 3.1), one rule per file; the registry maps each task to its verifier.

mathematics.py          visual and text reasoning: the last box equals the reference
counting.py             the number in the last box equals the reference
grounding_box.py        GIoU with the reference box, mapped to [0, 1]
grounding_point.py      the point lies in the reference box
temporal_grounding.py   temporal IoU with the reference span
custom.py               the user's own Verifier, from a path in the configuration

To add a rule: write a file with a `VERIFIER`, register it in registry.py, add its traps to the tests.
"""
