"""Artifacts by digest in one of two stores behind one protocol.

store.py          the ArtifactStore protocol, ObjectInfo, open_store and store_for_uri
local.py          file://: a folder; atomic creates and compare-and-swap
s3.py             s3://: the minio client; conditional writes through presigned PUTs
outage.py         how requests to an S3 server survive its outage
layout.py         every key and file name, built in one place
digests.py        sha256 of files, with a cache per process
artifacts.py      publish (manifest last) and materialise (verified local folder)
checkpoints.py    complete.json last, newest complete one, keep-last-N
attempts.py       claim, revocation, exit record, progress of one attempt
upload.py         shares of a folder by many processes, joined into one list of entries
attempt_files.py  the folders of an attempt for any process on any node
pointer.py        which attempt's output is the stage's output, moved by If-Match only
keys.py           stage key -> earlier output, for reuse
"""

from mimo_vl.storage.store import ArtifactStore, Credentials, ObjectInfo, open_store, store_for_uri

__all__ = ["ArtifactStore", "Credentials", "ObjectInfo", "open_store", "store_for_uri"]
