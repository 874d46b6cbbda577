"""One cached environment for every checkout with the same lock: finds or builds it, and prints its path.

Owns the environment's place, building it with pip from `requirements.lock`, and clear messages if that
fails. Does not own the choice of packages (pyproject.toml) nor how the lock is made (`make lock`).

    python3 tools/bootstrap.py          build it if it is missing; print its path (progress goes to stderr)
    python3 tools/bootstrap.py --path   print the path that it has or would have; build nothing

It is in `$PODIUM_ENVS` (default `$XDG_CACHE_HOME/podium/envs` or `~/.cache/podium/envs`), in a folder
named by the lock, this Python and this platform. If the cache is not writable, it is `.venv/`
in the checkout. `PODIUM_ENV=/path/of/an/environment` uses that one as it is (conda, a CPU-only torch).

Standard library only, without annotations, so that an old Python can parse it and report that it is too
old. Imports at the top are light, since this runs before every `make` target.
"""

import errno
import hashlib
import os
import sys
from pathlib import Path

OLDEST = (3, 11)
# One package of each part; a wrong environment lacks most of them.
NEEDED = ("numpy", "pandas", "pydantic", "omegaconf", "torch", "mlflow", "optuna")
MARK = "podium-complete"  # written last: an environment without it does not exist
CHECKOUT = Path(__file__).resolve().parent.parent
CANNOT_WRITE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)
SIZE = "about 6.5 GB on Linux (torch with CUDA), 2 GB on macOS"


class BootstrapError(Exception):
    """A reason why there is no environment, with what to do about it."""


def say(text):
    """One line of progress, on stderr."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def key_of(lock):
    """The environment's name: a digest of the lock, this Python and this platform.

    Args:
        lock: the bytes of `requirements.lock`; its comments do not count.
    """
    pins = [line.split(b"#")[0].strip() for line in lock.splitlines()]
    pinned = hashlib.sha256(b"\n".join(pin for pin in pins if pin)).hexdigest()
    python = sys.implementation.cache_tag + getattr(sys, "abiflags", "")
    parts = [pinned, python, sys.platform, os.uname().machine]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def cache_folder(environ):
    """The folder of all cached environments.

    Args:
        environ: `os.environ`, or a test's.
    """
    if environ.get("PODIUM_ENVS"):
        return Path(environ["PODIUM_ENVS"]).expanduser().absolute()
    cache = environ.get("XDG_CACHE_HOME", "")
    home = environ.get("HOME") or str(Path.home())
    return (Path(cache) if cache.startswith("/") else Path(home, ".cache")) / "podium" / "envs"


def complete(env):
    """Whether it was built completely, and the Python that it is based on still exists."""
    return (env / MARK).exists() and (env / "bin" / "python").exists()


def candidates(environ, checkout):
    """Places where the environment may be, best first.

    Raises:
        BootstrapError: the checkout has no lock.
    """
    try:
        name = key_of((checkout / "requirements.lock").read_bytes())
    except FileNotFoundError:
        remedy = "get it back: git checkout requirements.lock"
        raise BootstrapError(f"requirements.lock is missing\n  → {remedy}") from None
    return [cache_folder(environ) / name, checkout / ".venv" / name]


def own_environment(environ):
    """The user's environment named by PODIUM_ENV, or None.

    Raises:
        BootstrapError: it has no bin/python.
    """
    if not environ.get("PODIUM_ENV"):
        return None
    own = Path(environ["PODIUM_ENV"]).expanduser().absolute()
    if not (own / "bin" / "python").exists():
        remedy = "point it at the folder of an environment, or unset it to let bootstrap build one"
        raise BootstrapError(f"PODIUM_ENV={own} has no bin/python\n  → {remedy}")
    return own


def check_own(own):
    """Refuse an environment of the user that cannot run Podium, with everything that it lacks.

    Args:
        own: its folder, which has a bin/python.

    Raises:
        BootstrapError: its Python does not run, is too old, or lacks packages.
    """
    import subprocess

    python = str(own / "bin" / "python")
    code = (
        "import sys; print(*sys.version_info[:2]); import importlib.util as u; "
        f"print(*[n for n in {NEEDED!r} if u.find_spec(n) is None])"
    )
    try:
        done = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, errors="replace", timeout=60
        )
        lines, said = done.stdout.splitlines(), done.stderr.strip().splitlines()
        version = tuple(int(part) for part in lines[0].split())
        missing = lines[1].split() if len(lines) > 1 else list(NEEDED)
    except (OSError, subprocess.TimeoutExpired) as error:
        lack = f"{python} does not run ({error})"
    except (IndexError, ValueError):
        lack = f"{python} does not run ({said[-1] if said else 'it says nothing'})"
    else:
        if version >= OLDEST and not missing:
            return
        old = f"its Python is {version[0]}.{version[1]}, and {OLDEST[0]}.{OLDEST[1]} or newer is needed"
        lack = f"packages are missing: {', '.join(missing)}" if version >= OLDEST else old
    raise BootstrapError(
        f"PODIUM_ENV={own} cannot run Podium: {lack}\n"
        f"  → install it there ({python} -m pip install -e .), or unset PODIUM_ENV to let bootstrap build one"
    )


def check_python(version):
    """Refuse a Python that is too old, or continue in a newer one that is installed beside it.

    Args:
        version: (major, minor) of this Python.

    Raises:
        BootstrapError: it is too old and no newer one was found.
    """
    if version >= OLDEST:
        return
    import shutil
    import subprocess

    test = "import sys; sys.exit(sys.version_info < (3, 11))"
    for minor in (13, 12, 11, 14):
        newer = shutil.which(f"python3.{minor}")
        if newer and subprocess.call([newer, "-c", test], stderr=subprocess.DEVNULL) == 0:
            os.execv(newer, [newer, *sys.argv])
    raise BootstrapError(
        f"Podium needs Python 3.11 or newer; {sys.executable} is {version[0]}.{version[1]}\n"
        "  → install a newer one (apt-get install python3 python3-venv, brew install python@3.12), "
        "or name it: make PYTHON=/path/of/python3.12"
    )


def check_venv():
    """Refuse a Python without the parts that make environments.

    Raises:
        BootstrapError: Debian and Ubuntu ship them in a package of their own.
    """
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise BootstrapError(
            f"this Python cannot make environments ({error})\n"
            "  → Debian, Ubuntu: apt-get install python3-venv; or point PODIUM_ENV at an environment of "
            "your own"
        ) from None


def run(command):
    """Run a command, its output on our stderr; return its exit status and last lines of stderr."""
    import collections
    import subprocess

    tail = collections.deque(maxlen=40)
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),  # pip's progress bar sees the terminal itself
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stderr is not None, "stderr was asked for"
        try:
            for line in process.stderr:
                sys.stderr.write(line)
                tail.append(line)
        except BaseException:
            process.terminate()
            raise
    return process.returncode, "".join(tail)


def why(output, env):
    """The message to the user after a failed step.

    Args:
        output: the last lines that the step printed.
        env: the environment that was being built.
    """
    import shutil
    import tempfile

    if "No space left on device" in output or "[Errno 28]" in output:
        folders = [folder for folder in (env.parent, Path(tempfile.gettempdir())) if folder.exists()]
        free = [f"{shutil.disk_usage(folder).free / 1e9:.1f} GB free in {folder}" for folder in folders]
        return (
            f"the disk is full: the environment takes {SIZE} ({', '.join(free)})\n  → free some space, or "
            "choose other disks: PODIUM_ENVS=/folder/for/environments TMPDIR=/folder/for/downloads"
        )
    advice = "see the lines above; run it again when mended"
    if "No matching distribution" in output or "Could not find a version" in output:
        python = ".".join(str(part) for part in sys.version_info[:2])
        advice = (
            f"is the package index reachable? does it have wheels for Python {python} on {sys.platform}? "
            "Otherwise try another one: make PYTHON=python3.12"
        )
    return f"pip could not install requirements.lock\n  → {advice}"


def build(env, lock):
    """Make the environment, its mark last. The rest of an interrupted build is deleted first.

    Args:
        env: the folder to build.
        lock: path of `requirements.lock`.

    Raises:
        BootstrapError: a step failed; nothing is left behind.
    """
    import shutil
    import time

    check_venv()
    start = time.time()
    if env.is_dir():
        say("an unfinished environment is there; starting anew")
        shutil.rmtree(env)
    say(f"building the environment, once for all checkouts with this lock: {env}")
    say(f"that is {SIZE} and takes a few minutes")
    quiet = [] if sys.stderr.isatty() else ["-qq", "--progress-bar=off"]
    pip = [env / "bin" / "python", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    # The lock is the complete tree: pip need not resolve it again.
    for command in ([sys.executable, "-m", "venv", env], [*pip, *quiet, "--no-deps", "-r", lock]):
        status, output = run(command)
        if status != 0:
            shutil.rmtree(env, ignore_errors=True)
            raise BootstrapError(why(output, env))
    with (env / MARK).open("w", encoding="utf-8") as file:
        file.write(f"python {sys.version}\n")
        file.flush()
        os.fsync(file.fileno())
    say(f"ready after {time.time() - start:.0f} s")
    for other in sorted(path for path in env.parent.iterdir() if path.is_dir() and path != env):
        say(f"also there, from another lock or Python; delete it if no checkout needs it: {other}")


def build_once(env, lock):
    """Build while holding a file lock, so that two `make` at once build one environment together.

    Raises:
        OSError: the folder cannot be written.
        BootstrapError: building failed.
    """
    import fcntl

    env.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{env}.lock").open("w", encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is building {env}; waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        if not complete(env):
            build(env, lock)


def environment(environ, may_build, checkout=CHECKOUT):
    """The path of the environment; see the module's docstring.

    Args:
        environ: `os.environ`, or a test's.
        may_build: build it when it is missing; False names where it would lie.
        checkout: the folder that holds `requirements.lock`.

    Raises:
        BootstrapError: there is none and it cannot be built.
    """
    own = own_environment(environ)
    if own is not None:
        if may_build:  # once for each command, and not again where only the path is asked for
            check_own(own)
        return own
    paths = candidates(environ, checkout)
    for env in paths:
        if complete(env):
            return env
    if not may_build:
        return paths[0]
    for env in paths:
        try:
            build_once(env, checkout / "requirements.lock")
            return env
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise BootstrapError(why("[Errno 28]", env)) from None
            if error.errno not in CANNOT_WRITE:
                raise
            say(f"cannot write {env.parent} ({error.strerror})")
    raise BootstrapError(
        f"no folder for the environment can be written: {', '.join(str(env.parent) for env in paths)}\n"
        "  → name one: PODIUM_ENVS=/folder/for/environments"
    )


def main(arguments):
    """Print the environment's path; 0, 2 for a failure, 130 when interrupted."""
    try:
        if arguments not in ([], ["--path"]):
            raise BootstrapError(f"unknown arguments {arguments}\n  → python3 tools/bootstrap.py [--path]")
        check_python(sys.version_info[:2])
        print(environment(os.environ, may_build=not arguments))
    except BootstrapError as failure:
        say(failure)
        return 2
    except KeyboardInterrupt:
        say("interrupted; the next start begins the installation anew")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
