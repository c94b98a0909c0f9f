"""Objects of a store that speaks S3: reached through fsspec, written, and proven to be there.

    reach    the file system of fsspec; the extra `s3`
    asking   one question to a store: what is refused, what is tried again
    folder   the objects below one prefix

Called by `text.remote`, which reads text, and by `output.copy`, which writes results. Credentials,
region and endpoint are those of the usual environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL, or the role of the pod).
"""

from lmtrainer.s3.asking import StoreError, ask
from lmtrainer.s3.folder import Folder
from lmtrainer.s3.reach import file_system

__all__ = ["Folder", "StoreError", "ask", "file_system"]
