"""What pyproject.toml cannot say: the wheel holds `configs/` as `pipeline/configs`.

Everything else about the package stands in pyproject.toml. In git there is one `configs/`, beside
`pipeline/`; an installed Podium has no checkout around it and reads the copy (see
`pipeline/settings/read.py`).
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = Path("configs")


class BuildWithConfigs(build_py):
    """Puts the YAML files beside the modules; an editable install reads the checkout's own."""

    def run(self) -> None:
        """Build from nothing, so that no module of an earlier build gets into the wheel."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            shutil.copytree(CONFIGS, Path(self.build_lib, "pipeline", "configs"), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
