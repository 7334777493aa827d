"""The exceptions. Each is an `Error`, and also the built-in that a Python programmer would catch."""

__all__ = [
    "Busy",
    "Closed",
    "Corrupt",
    "Error",
    "Exists",
    "Forked",
    "Invalid",
    "Mismatch",
    "NoSpace",
    "NotFound",
    "PeerDead",
    "PermissionDenied",
    "RemoteError",
    "Timeout",
    "TooBig",
    "WouldBlock",
]


class Error(OSError):
    """Any error of ipcx. `errno` is that of the system call it resembles; the
    text says what to do.
    """

    request: int | None = None
    """Of an error with which a request of a client ended: that one's id."""

    taken: bool | None = None
    """Of an error with which a request of a client ended, a call's Timeout
    among them: True if a server had taken the request, which may have been
    carried out; False if none had: it was not carried out and will not be, and
    to ask again does nothing twice.
    """


class WouldBlock(Error, BlockingIOError):
    """Nothing to receive, no room to send, no block or permit free, no other
    version, or the lock held; and the call does not wait (`timeout=0`).
    """


class Timeout(Error, TimeoutError):
    """The time was over; the text says what the call waited for. Nothing
    happened; but a wait on a locked value has given the lock up, and what
    was not published.
    """


class Closed(Error, BrokenPipeError, EOFError):
    """The peer closed in good order and nothing is left."""


class PeerDead(Error, ConnectionResetError):
    """The peer died and nothing is left. Ends when a successor attaches: call
    again to go on.
    """


class Exists(Error, FileExistsError):
    """The name is in use."""


class NotFound(Error, FileNotFoundError):
    """No segment has this name."""


class Busy(Error):
    """The role is held by a living process (named in the text), or the
    endpoint is in use by another thread.
    """


class Mismatch(Error, ValueError):
    """The segment is of another kind or version, or has other options or
    another schema.
    """


class Corrupt(Error):
    """Shared state is not what ipcx wrote."""


class TooBig(Error, ValueError):
    """The message cannot fit, or the buffer given is too small for it. Nothing
    is lost.
    """


class NoSpace(Error):
    """The file system, or the segment, lacks room."""


class PermissionDenied(Error, PermissionError):
    """Access denied, or a segment owned by somebody who is not trusted."""


class RemoteError(Error):
    """The server refused the request."""

    text: str = ""
    """What it said."""


class Forked(Error):
    """The endpoint, block or locked value was inherited over fork and belongs
    to the parent. Attach again in the child.
    """


class Invalid(Error, ValueError):
    """A bad argument or a bad name, or a call that does not fit what was
    called before.
    """


for _name in __all__:
    globals()[_name].__module__ = "ipcx"
del _name
