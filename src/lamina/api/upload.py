"""`moby.upload.v1.Upload`: a client's stream as a build context.

`Pull` is a stream of bytes (`stream.py`); its metadata contains the host and path of the URL
(`http://buildkit-session/<id>`) that names the upload.
"""

from __future__ import annotations

SERVICE = "moby.upload.v1.Upload"
PULL = f"/{SERVICE}/Pull"
KEY_PATH = "urlpath"
KEY_HOST = "urlhost"
