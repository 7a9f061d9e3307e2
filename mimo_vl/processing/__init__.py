"""How text and media become arrays.

tokenizer.py chat_template.py    byte-level BPE and ChatML;  pretrained_tokenizer.py: SmolLM2's vocabulary
images.py videos.py              resizing rules, frame sampling, patches
coordinates.py                   boxes between stored and resized images
positions.py                     mRoPE
encode.py                        a sample -> EncodedSample;  packed_row.py: many of them -> one row
"""
