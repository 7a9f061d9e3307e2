"""What the operating system refuses, as one line with a remedy and an exit code."""

from __future__ import annotations

import errno

from mimo_vl.errors import EXIT_PERMANENT, EXIT_RETRY

_REMEDIES = {
    errno.ENOENT: "check the path, or make its folder first",
    errno.ENOTDIR: "a part of the path is a file; name another place",
    errno.EISDIR: "it is a folder; name a file",
    errno.EEXIST: "name another place, or remove it first",
    errno.EACCES: "name a place that you have the right to, or change its rights",
    errno.EPERM: "name a place that you have the right to, or change its rights",
    errno.EROFS: "name a place that can be written to",
    errno.ENAMETOOLONG: "name a shorter path",
}
# Nothing that was asked for is wrong.
_PASSING = {
    errno.ENOSPC: "make room on the disk, then run the command again",
    errno.EDQUOT: "make room in your quota, then run the command again",
    errno.EMFILE: "raise the limit of open files (ulimit -n), then run the command again",
}


def explain_os_error(error: OSError) -> tuple[str, int]:
    """(message, exit code)"""
    where = f"{error.filename}: " if error.filename else ""
    what = error.strerror or str(error) or type(error).__name__
    number = error.errno or 0
    code = EXIT_PERMANENT if number in _REMEDIES else EXIT_RETRY
    return f"{where}{what}; {_REMEDIES.get(number) or _PASSING.get(number, 'run the command again')}", code
