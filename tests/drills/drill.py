# SPDX-License-Identifier: Apache-2.0
"""What tests/drills/run and tests/drills/soak share: a daemon on a token of its own in a small file
system of its own, clients that never stop, and what these say of it."""

import collections
import contextlib
import ctypes
import errno
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
LOAD = TOP / "tests" / "drills" / "drill-load"
os.environ.setdefault("P11KMS_BUILD_DIR", str(TOP / "build"))
os.environ.setdefault("P11KMS_TOOLS_DIR", str(TOP / "tests" / "token"))
sys.path.insert(0, str(TOP / "tests" / "protocol" / "python"))

import daemon as rig

FAULTP11 = str(TOP / "build" / "faultp11.so")
PAGE = TOP / "docs" / "reliability.md"
SPAN = 0.05  # seconds, as in drill_load.h
TRUE_WITHIN = 3  # seconds until Status is true
WELL_WITHIN = 5  # seconds from the end of a cause until all is well
BUSY_FACTOR = 2  # of these, where the machine has kept a sleeping thread waiting; under CI see width()
BUSY_LATE = 0.25  # seconds
ROUNDS = 3  # of what was too slow, and nothing else: what is the program's fault is so each time
CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_BIND, MS_REMOUNT = 0x20000, 0x4000, 1 << 18, 0x1000, 0x20
MS_RDONLY, MNT_DETACH = 1, 2
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """What a drill asks for does not hold."""


class TooSlow(Failed):
    """All of it holds, but for a limit of time."""


def check(holds, what):
    if not holds:
        raise Failed(what)


def check_time(holds, what):
    """What is checked last: all else holds by then."""
    if not holds:
        raise TooSlow(what)


def in_rounds(name, drill_one, row):
    """What drill_one(row) answers, once it keeps its limits of time: it has ROUNDS for that, and a new scene each."""
    for _ in range(ROUNDS - 1):
        try:
            return drill_one(row)
        except TooSlow as slow:
            print(f"AGAIN: {name}: {slow}", flush=True)
    return drill_one(row)


def pause(seconds):
    """Time that is itself the matter of a drill."""
    time.sleep(seconds)


# --- file systems ------------------------------------------------------------------------------


def system(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(source, target, kind, flags, data=""):
    system(LIBC.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()))


def own_mounts():
    """Mounts of this process, and of those it starts, that nobody else sees and that end with them."""
    try:
        system(LIBC.unshare(CLONE_NEWNS))
        mount("none", "/", "", MS_REC | MS_PRIVATE)
    except PermissionError:
        skip("the drills mount small file systems, which nobody may here: run them as root")


def skip(why):
    print(f"SKIP: {why}", file=sys.stderr)
    sys.exit(77)


def make_read_only(path):
    mount(path, path, "", MS_BIND)
    mount("none", path, "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def unmount(path):
    """Also one that is in use, or gone already."""
    with contextlib.suppress(OSError):
        system(LIBC.umount2(path.encode(), MNT_DETACH))


def fill(folder):
    """Leaves no byte and no block of the file system free; answers the file that does it."""
    path = os.path.join(folder, "filler")
    with open(path, "wb", buffering=0) as out:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while out.write(bytes(size)) > 0:
                    pass
    try:
        with open(path + ".2", "wb", buffering=0) as more:
            more.write(b"x")
    except OSError as error:
        check(error.errno == errno.ENOSPC, f"filling the disk: {error}")
        return path
    raise Failed("the disk is not full")


# --- the daemon --------------------------------------------------------------------------------


class Scene(contextlib.ExitStack):
    """A token and a daemon on it, in a file system of 16 MiB; all is gone when the scene ends.

    more: lines of the configuration's ring section. faultp11: that module (docs/drills.md) before
    SoftHSM, which breaks nothing yet. record: it writes down every call, too."""

    def __init__(self, more="", faultp11=False, record=False):
        super().__init__()
        self.notes = []
        self.dir = tempfile.mkdtemp(prefix="p11-kms-drill.")
        self.addCleanup(os.rmdir, self.dir)
        mount("none", self.dir, "tmpfs", 0, "size=16m,mode=0700")
        self.addCleanup(unmount, self.dir)
        old, tempfile.tempdir = tempfile.tempdir, self.dir
        self.addCleanup(setattr, tempfile, "tempdir", old)
        self.token = rig.Token(self)
        self.head = f"module {rig.MODULE}\nfaults {self.dir}/faults\n"
        if record:
            self.head += f"record {self.dir}/calls\n"
            rig.write(self.dir + "/calls", "")
        if faultp11:
            self.token.env["FAULTP11_SCRIPT"] = self.dir + "/script"
            self.script("")
        self.daemon = rig.Daemon(self, self.token, status_version="v2", more=more, init=True,
                                 module=FAULTP11 if faultp11 else rig.MODULE)

    def addCleanup(self, function, *arguments):
        """As a unittest has it, for daemon.py."""
        self.callback(function, *arguments)

    def on_failure(self, text):
        self.notes.append(text)

    # --- parts

    @property
    def monitor(self):
        return self.daemon.process.pid

    def front_end(self):
        """Waits until there is one. A child between fork and exec is none yet."""
        found = []

        def ask():
            found[:] = [pid for pid in children_of(self.monitor) if b"--front-end" in command_line(pid)]
            return None if found else "there is none"

        rig.eventually(WELL_WITHIN, ask, "a front end")
        return found[0]

    def signal_agent(self, number):
        """Answers the pid; 0: there is none at the moment."""
        agents = self.daemon.agents()
        if not agents:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(agents[0], number)
        return agents[0]

    def signal_front_end(self, number):
        front_end = self.front_end()
        os.kill(front_end, number)
        return front_end

    def script(self, rule):
        """What faultp11 is to do from now on."""
        path = self.dir + "/script"
        with open(path + ".new", "w", encoding="ascii") as out:
            out.write(self.head + rule)
        os.rename(path + ".new", path)

    def script_once(self, function, action):
        """The next call of the function."""
        self.script(f"on {function} once {self.dir}/once {action}\n")
        pathlib.Path(self.dir, "once").touch()

    def recorded(self, name, word=""):
        """How many lines of the file begin with the word."""
        path = pathlib.Path(self.dir, name)
        lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
        return sum(line.startswith(word) for line in lines)

    def kms(self, *words):
        """Runs p11-kms: its exit code and what it printed."""
        done = subprocess.run([rig.program("P11KMS_BUILD_DIR", "p11-kms"), *words, "--config", self.daemon.config],
                              env=self.token.env, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    def health(self):
        """What `p11-kms status --json` says: exit code, the line."""
        code, text = self.kms("status", "--json")
        try:
            return code, json.loads(text)["healthz"]
        except (ValueError, KeyError):
            return code, text.strip()

    def store_files(self):
        """The files of SoftHSM's token."""
        return [str(path) for path in pathlib.Path(self.token.store).glob("*/*") if path.is_file()]

    def kek_files(self):
        """SoftHSM's files of the ring's KEKs."""
        return {path for path in self.store_files() if re.search(r"/[0-9a-f-]{36}\.object$", path)}


def children_of(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


# --- the clients -------------------------------------------------------------------------------

LATE_OK = 17  # the code of a call that succeeded, but late
Span = collections.namedtuple("Span", "at failed answers gap slowest calls")  # calls: {("E", 14): 3}
Status = collections.namedtuple("Status", "start end code key_id text")


class Load:
    """drill-load: what it has told so far."""

    def __init__(self, scene, *words):
        self.lock = threading.Condition()
        self.spans, self.statuses, self.texts, self.late, self.totals = [], [], [], [], {}
        self.ended = False
        self.process = subprocess.Popen([str(LOAD), "--socket", scene.daemon.socket, *map(str, words)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        scene.callback(self.kill)

    def read(self):
        for line in self.process.stdout:
            with self.lock:
                self.take(line.rstrip("\n").split(" "))
                self.lock.notify_all()
        with self.lock:
            self.ended = True
            self.lock.notify_all()

    def take(self, words):
        kind, rest = words[0], words[1:]
        if kind == "span":
            calls = {(word[0], int(word[1:].split("=")[0])): int(word.split("=")[1]) for word in rest[5:]}
            self.spans.append(Span(int(rest[0]) / 1e3, int(rest[1]), int(rest[2]), float(rest[3]) / 1e3,
                                   float(rest[4]) / 1e3, calls))
        elif kind == "status":
            self.statuses.append(Status(float(rest[0]) / 1e3, float(rest[1]) / 1e3, rest[2], rest[3],
                                        " ".join(rest[4:])))
        elif kind == "text":
            self.texts.append(" ".join(rest))
        elif kind == "late":
            self.late.append(float(rest[0]) / 1e3)
        elif kind == "total":
            self.totals[rest[0]] = int(rest[1])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def await_status(self, condition, within):
        """Waits until a Status that was asked from now on fulfils the condition; None: it does not."""
        asked = time.monotonic()
        deadline, at = asked + within, 0
        with self.lock:
            while True:
                for status in self.statuses[at:]:
                    if status.start >= asked and condition(status):
                        return status
                at = len(self.statuses)
                left = deadline - time.monotonic()
                if left <= 0 or self.ended:
                    return None
                self.lock.wait(left)

    def finish(self, within=150):
        """Ends the load; it then opens all that it has sealed. Answers whether all was well."""
        self.process.stdin.close()
        code = self.process.wait(within)
        self.reader.join()
        return code == 0


def width(load, once=False):
    """How much wider the limits of time are: on a busy machine, and under CI only for what is run just once."""
    worst = max(load.late, default=0)
    if worst <= BUSY_LATE or (os.environ.get("CI") == "true" and not once):
        return 1
    print(f"THE MACHINE IS BUSY (a sleeping thread woke up {worst:.1f} s late): limits of time are "
          f"{BUSY_FACTOR} times as wide", flush=True)
    return BUSY_FACTOR


def is_ok(status):
    return status.code == "OK" and status.text == "ok"


def went_wrong(span):
    """Of the calls started in it: how many failed, or succeeded late."""
    return sum(n for (_, code), n in span.calls.items() if code)


def longest(spans, holds):
    """The longest run of spans, in seconds, of which each `holds`, and its end; a span without calls ends none."""
    worst, began = (0, 0), 0
    for span in spans:
        if not span.calls:
            continue
        if not holds(span):
            began = 0
            continue
        began = began or span.at
        worst = max(worst, (span.at + SPAN - began, span.at + SPAN))
    return worst


class Judge:
    """What Status said, compared with what calls came to, 50 ms by 50 ms."""

    def __init__(self, load, since):
        self.spans = [span for span in load.spans if span.at + SPAN > since]
        self.statuses = [status for status in load.statuses if status.end >= since]
        self.since, self.said = since, {}
        for status in self.statuses:
            if status.code != "silence":
                self.said.setdefault(int(status.end / SPAN), []).append(is_ok(status))

    def says(self, span, ok):
        """Whether every Status answered within the span, or the last one before it, says so."""
        at = int(round(span.at / SPAN))
        for back in range(4):
            if at - back in self.said:
                return all(word == ok for word in self.said[at - back])
        return False

    def untruthful(self):
        """The longest time that Status said ok while calls failed, or something else while none did."""
        return self.worst_lie()[0]

    def worst_lie(self):
        """That time, when it ended (the log's clock), and which of the two."""
        flattery = longest(self.spans, lambda span: went_wrong(span) > 0 and self.says(span, True))
        slander = longest(self.spans, lambda span: went_wrong(span) == 0 and self.says(span, False))
        (seconds, end), what = max((flattery, "ok while calls failed"), (slander, "not ok while none failed"))
        return seconds, time.strftime("%H:%M:%S", time.gmtime(end + time.time() - time.monotonic())), what

    def gap(self):
        """The longest time without an answer by the daemon."""
        return max([span.gap for span in self.spans], default=0)

    def well_since(self):
        """When the last call failed, or the last unwell Status was answered."""
        failed = [span.at + SPAN for span in self.spans if span.failed]
        unwell = [status.end for status in self.statuses if not is_ok(status)]
        return max(failed + unwell, default=self.since)

    def codes(self):
        """{"E": {14: 3}, "D": {}}: the calls that failed, by code."""
        ret = {"E": collections.Counter(), "D": collections.Counter()}
        for span in self.spans:
            for (letter, code), n in span.calls.items():
                if code not in (0, LATE_OK):
                    ret[letter][code] += n
        return ret


# --- machine and page --------------------------------------------------------------------------


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii")
    model = re.search(r"model name\s*:\s*(.*)", info)
    return (f"{os.cpu_count()} cores ({model.group(1) if model else platform.machine()}), "
            f"{'a virtual machine' if 'hypervisor' in info else 'no virtual machine'}, "
            f"Linux {re.match('[0-9.]+', platform.release()).group(0).rstrip('.')}")


def write_page(what, lines):
    """Puts the lines between the two marks of docs/reliability.md that name the program."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- generated by tests/drills/{what} -->", f"<!-- end of tests/drills/{what} -->"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    PAGE.write_text(before + begin + "\n\n" + "\n".join(lines) + "\n\n" + end + after, encoding="utf-8")


def rss_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def build():
    names = ["tests/drills/drill-load", "build/faultp11.so"]
    subprocess.run(["make", "-s", "-j2", "all", *names], cwd=TOP, check=True, stdout=subprocess.DEVNULL)


def prepare():
    """Builds, and makes a place for mounts."""
    if not shutil.which("softhsm2-util"):
        skip("softhsm2-util is missing: install softhsm2")
    build()
    own_mounts()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
