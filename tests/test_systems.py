"""Systems: bandfuse where what only POSIX has is missing, as on Windows; and one batch at a
time."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rasters import blend, spectra, wavelengths, write_tiff

import bandfuse
from bandfuse.batches.journal import LOCK, Journal
from bandfuse.errors import OutputError

POSIX_MODULES = (
    "fcntl",
    "resource",
    "pwd",
    "grp",
    "termios",
    "tty",
    "pty",
    "posix",
    "syslog",
    "crypt",
    "nis",
    "spwd",
)
POSIX_NAMES = (
    "os.fork",
    "os.killpg",
    "os.getpgid",
    "os.setsid",
    "os.getuid",
    "os.geteuid",
    "os.getgid",
    "os.sched_getaffinity",
    "os.sysconf",
    "os.statvfs",
    "os.nice",
    "os.mkfifo",
    "os.chown",
    "os.getloadavg",
    "os.O_CLOEXEC",
    "os.O_NOFOLLOW",
    "os.O_DIRECTORY",
    "os.posix_fallocate",
    "os.posix_fadvise",
    "os.WNOHANG",
    "signal.SIGHUP",
    "signal.SIGKILL",
    "signal.SIGQUIT",
    "signal.SIGUSR1",
    "signal.SIGCHLD",
    "signal.SIGALRM",
    "signal.SIGPIPE",
    "signal.pthread_sigmask",
    "signal.alarm",
    "signal.setitimer",
    "time.tzset",
)
"""What Windows' own ``os``, ``signal`` and ``time`` lack."""

WITHOUT = '''
import os, sys, importlib, pkgutil

POSIX_MODULES, POSIX_NAMES = {modules!r}, {names!r}
ROOT = {root!r}

def asked_by_bandfuse():
    """Whether the nearest caller outside Python's import machinery is a file of bandfuse."""
    frame = sys._getframe(2)
    machinery = ("importlib", "<frozen")
    while frame is not None and any(word in frame.f_code.co_filename for word in machinery):
        frame = frame.f_back
    return frame is not None and os.path.abspath(frame.f_code.co_filename).startswith(ROOT)

import builtins
usual = builtins.__import__
def guarded(name, *rest, **more):
    if name.split(".")[0] in POSIX_MODULES and asked_by_bandfuse():
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return usual(name, *rest, **more)
builtins.__import__ = guarded
plain = importlib.import_module
def guarded_too(name, package=None):
    if name.split(".")[0] in POSIX_MODULES and asked_by_bandfuse():
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return plain(name, package)
importlib.import_module = guarded_too

class Watched(type(sys)):
    """A module as another system has it, for bandfuse alone."""
    def __getattribute__(self, name):
        if f"{{type(self).label}}.{{name}}" in POSIX_NAMES and asked_by_bandfuse():
            raise AttributeError(f"module has no attribute {{name!r}}")
        return super().__getattribute__(name)

for label in ("os", "signal", "time"):
    module = plain(label)
    module.__class__ = type(f"Watched_{{label}}", (Watched,), {{"label": label}})

def import_all():
    import bandfuse
    for found in pkgutil.walk_packages(bandfuse.__path__, "bandfuse."):
        if not found.name.endswith("__main__"):
            plain(found.name)

def run(*arguments):
    from bandfuse.cli.main import main
    sys.argv = ["bandfuse", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (arguments, ended.code)

if __name__ == "__main__":
    {body}
'''
"""What only POSIX has is taken away from the files of bandfuse alone. Python's ``subprocess`` and
libraries that were installed for this system need it here, and would not on the other."""


def without_posix(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    script = folder / "without.py"
    root = str(Path(bandfuse.__file__).parent)
    script.write_text(
        WITHOUT.format(modules=POSIX_MODULES, names=POSIX_NAMES, root=root, body=body),
        encoding="utf-8",
    )
    path = os.pathsep.join([str(Path(root).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.thorough
def test_every_command_runs_without_what_only_posix_has(tmp_path: Path) -> None:
    """All modules are imported; train, apply and batch run through the entry point in one process.

    The batch has workers besides: they are started as Windows starts them, and what is taken away
    is missing there, too.
    """
    x = spectra(3, 16, 20)
    write_tiff(tmp_path / "x.tif", x, nm=wavelengths(3))
    write_tiff(tmp_path / "t.tif", blend(x, [[0.2, 0.3, 0.5]]).astype("float32"))
    (tmp_path / "b.yaml").write_text(
        "version: 1\noutput: out\nscenes: [{files: [x.tif], target: t.tif}]\n"
        "jobs: [{name: m, kind: train}, {name: f, kind: apply, weights: m}]\n"
    )
    done = without_posix(
        tmp_path,
        """import_all()
    run("train", "x.tif", "--target", "t.tif", "-o", "run")
    run("apply", "run/weights.safetensors", "x.tif", "-o", "f.tif")
    run("batch", "b.yaml", "--workers", "2")""",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/report.html").is_file()
    assert (tmp_path / "f.tif").is_file()
    assert (tmp_path / "out/f/x.tif").is_file()


@pytest.mark.parametrize("what", ["fcntl", "pwd", "os.killpg", "signal.SIGKILL"])
def test_what_is_taken_away_is_missed(tmp_path: Path, what: str) -> None:
    """The test above can fail: a file of bandfuse that uses these fails there."""
    module, _, name = what.partition(".")
    use = f"import {module}\n{what if name else ''}\n"
    body = f"exec(compile({use!r}, os.path.join(ROOT, 'made_up.py'), 'exec'), {{}})"
    done = without_posix(tmp_path, body)
    assert done.returncode == 1
    assert ("ModuleNotFoundError" if not name else "AttributeError") in done.stderr


def top_level_imports(tree: ast.AST) -> set[str]:
    """Modules that are imported when a file is: anywhere but inside functions."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        found |= top_level_imports(node)
    return found


def test_no_module_of_one_system_is_imported_with_a_file() -> None:
    alone = {*POSIX_MODULES, "msvcrt", "winreg", "winsound", "_winapi", "nt"}
    for path in sorted(Path(bandfuse.__file__).parent.rglob("*.py")):
        assert not top_level_imports(ast.parse(path.read_text(encoding="utf-8"))) & alone, path


# --------------------------------------------------------------------------------------------------


HOLDS = """
import sys, time
from pathlib import Path
from bandfuse.batches.journal import Journal
{before}
with Journal(Path(sys.argv[1])):
    {within}
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path, before: str = "", within: str = "pass") -> subprocess.Popen[str]:
    code = HOLDS.format(before=before, within=within)
    running = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    )
    return running


def test_a_second_batch_is_refused_at_once_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    running = holder(tmp_path)
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "held\n"
        started = time.monotonic()
        with pytest.raises(OutputError, match="another batch is writing"), Journal(tmp_path):
            pass
        assert time.monotonic() - started < 1
    finally:
        running.kill()
        running.communicate()
    with Journal(tmp_path):
        assert (tmp_path / LOCK).is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["journal.jsonl"], "nothing stays behind"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children that share what is open are POSIX's")
def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """Neither a forked child nor a program that is started holds the lock when its parent is
    gone."""
    running = holder(
        tmp_path,
        before="import os, subprocess",
        within="""ready, say = os.pipe()
    one = os.fork()
    if one == 0:
        os.write(say, b"x")
        time.sleep(60)
        os._exit(0)
    two = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False,
                           stdout=subprocess.DEVNULL).pid
    os.read(ready, 1)
    print(one, two, flush=True)""",
    )
    children: list[int] = []
    try:
        assert running.stdout is not None
        children = [int(word) for word in running.stdout.readline().split()]
        assert running.stdout.readline() == "held\n"
        running.kill()
        running.wait()
        with Journal(tmp_path):
            pass
        for child in children:
            os.kill(child, 0)
    finally:
        running.kill()
        for child in children:
            os.kill(child, signal.SIGKILL)
        running.communicate()


def test_one_at_a_time_however_many_try(tmp_path: Path) -> None:
    """The lock's file goes with each. Who opened it before it went holds no lock that others
    miss."""
    inside, most, held = 0, 0, 0
    counting = threading.Lock()

    def contend() -> None:
        nonlocal inside, most, held
        for _ in range(200):
            try:
                with Journal(tmp_path):
                    with counting:
                        inside, held = inside + 1, held + 1
                        most = max(most, inside)
                    with counting:
                        inside -= 1
            except OutputError:
                continue

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert held > 10


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    import filelock

    def refused(self: object, *args: object, **more: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    with (
        pytest.raises(OutputError, match=r"\.journal\.lock cannot be locked") as caught,
        Journal(tmp_path),
    ):
        pass
    assert "Function not implemented" in str(caught.value)
