"""How to reach a store. The one user of fsspec; s3fs comes with the extra `s3`."""

from __future__ import annotations

from typing import Any

from lmtrainer.faults import UserError


def file_system(url: str, field: str = "") -> Any:
    """The file system for the scheme of `url`; UserError where the extra is not installed."""
    scheme = url.partition("://")[0]
    try:
        import fsspec

        return fsspec.filesystem(scheme)
    except ImportError as fault:
        where = f"{field}: {url}" if field else url
        raise UserError(
            f"{where}: {scheme}:// needs the extra {scheme} of the trainer ({fault}); "
            f'install it with pip install "lmtrainer[{scheme}]"'
        ) from None
