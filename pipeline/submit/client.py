"""The command that hands a file in: the Kaggle client, or one of the user's own.

Owns finding it, filling in its words, and telling success from failure. Does not own asking or noting
(`submit/hand_in.py`).
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigError, DataError
from pipeline.settings.schema import SubmissionSettings

KAGGLE = "kaggle"
# The Kaggle client ends with 0 after some failures, and says so in these words only.
SAID_FAILED = re.compile(
    r"^\s*(Could not submit to competition|Could not find competition|Upload unsuccessful)", re.MULTILINE
)


@dataclass(frozen=True)
class Client:
    """A command whose words may hold {file}, {message} and {name}.

    Args:
        template: its words, the program first.
    """

    template: tuple[str, ...]

    @staticmethod
    def of(settings: SubmissionSettings) -> Client:
        """The command of the settings, or the Kaggle client.

        Raises:
            ConfigError: neither a command nor a Kaggle competition is named.
            DataError: the program is not there.
        """
        if settings.command is not None:
            template = tuple(shlex.split(settings.command))
        elif settings.kaggle is not None:
            template = (KAGGLE, "competitions", "submit", "-c", settings.kaggle)
            template += ("-f", "{file}", "-m", "{message}")
        else:
            raise ConfigError(
                "competition.submission: nothing says how to hand in",
                remedy="set competition.submission.kaggle to the competition's name in its address, or "
                "competition.submission.command, e.g. 'scp {file} host:inbox/'",
            )
        if shutil.which(template[0]) is None:
            ours = template[0] == KAGGLE
            there = Path(template[0]).is_file()
            raise DataError(
                f"{template[0]}: {'not executable' if there else 'no such command'}",
                remedy=f"chmod +x {template[0]}"
                if there
                else "pip install kaggle, and put its token where its documentation says"
                if ours
                else "mend competition.submission.command, or install it",
            )
        return Client(template)

    def words(self, file: Path, message: str, name: str) -> list[str]:
        """The command for one file; no shell reads it, so no character of a message is special."""
        return [word.format(file=file, message=message, name=name) for word in self.template]

    def call(self, words: list[str], say: Callable[[str], None]) -> None:
        """Run it, showing its output as it comes.

        Raises:
            DataError: it cannot run, or it failed, by its exit code or by its own words.
        """
        said = []
        try:
            with subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process:
                assert process.stdout is not None, "its output is piped"
                try:
                    for line in process.stdout:
                        said.append(line)
                        say(f"  {line.rstrip()}")
                except KeyboardInterrupt:
                    process.terminate()
                    process.wait()
                    raise
        except OSError as error:
            raise DataError(f"{words[0]}: cannot run: {error.strerror}") from error
        if process.returncode:
            raise DataError(
                f"not submitted: {words[0]} failed with exit code {process.returncode}",
                remedy="what it said stands above; nothing was noted",
            )
        failed = SAID_FAILED.search("".join(said)) if Path(words[0]).name == KAGGLE else None
        if failed:
            raise DataError(
                f"not submitted: {words[0]} said {failed[1]!r}, though it ended without an error",
                remedy="has the competition ended, are its rules accepted, is its name right?",
            )
