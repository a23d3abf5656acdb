# SPDX-License-Identifier: Apache-2.0
"""A SoftHSM token and daemons on it, taken away again when the test ends."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time

import grpc
from kms_client import V2, Client

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
URI = "pkcs11:token=p11-kms-test"
RING = "k8s"
CONFIG = """apiVersion: p11-kms/v1
socket: unix://{socket}
adminSocket: unix://{socket}.admin
allowUids: [{uid}]
statusVersion: {status_version}
stateDir: {state}
{top}token:
  module: {module}
  uri: "{uri}"
  pinSource: file:{pin}
  timeout: 2s
{token}ring:
  name: {ring}
{more}"""
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def program(variable, name):
    if variable not in os.environ:
        raise RuntimeError(f"{variable} is not set: it names the directory of the programs under test")
    return os.path.join(os.environ[variable], name)


def write(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)


def eventually(within, ask, what):
    """Asks until the answer is None; an answer says what is still wrong."""
    deadline = time.monotonic() + within
    while (wrong := ask()) is not None:
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within} s: {wrong}")
        time.sleep(0.02)  # lint: polls a condition


def process_stat(pid):
    """Name, state and parent as /proc has them; None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 1:].split()
    return name, rest[0], int(rest[1])


def tree(pid):
    """A process and everything below it, the process first."""
    stats = {int(entry): process_stat(entry) for entry in os.listdir("/proc") if entry.isdigit()}
    ret = [pid]
    for parent in ret:
        ret += [child for child, stat in stats.items() if stat and stat[2] == parent]
    return ret


def alive(pid):
    stat = process_stat(pid)
    return stat is not None and stat[1] not in "ZX"


def kill_all(pids):
    """SIGKILL, whether they have ended meanwhile or not."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Token:
    def __init__(self, test):
        self.dir = tempfile.mkdtemp(prefix="p11-kms-test.")
        test.addCleanup(shutil.rmtree, self.dir)
        self.store, self.pin = self.dir + "/tokens", self.dir + "/pin"
        os.mkdir(self.store, 0o700)
        write(self.pin, "1234\n")
        write(self.dir + "/softhsm2.conf",
              f"directories.tokendir = {self.store}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.env = dict(os.environ, SOFTHSM2_CONF=self.dir + "/softhsm2.conf")
        self.run("softhsm2-util", "--init-token", "--free", "--label", "p11-kms-test",
                 "--so-pin", "12345678", "--pin", "1234")

    def run(self, *command):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def make_kek(self, state_dir, generation):
        """Adds an active KEK to the ring; answers its key_id."""
        return self.run(program("P11KMS_TOOLS_DIR", "make-kek"), program("P11KMS_BUILD_DIR", "p11-kms-agent"),
                        MODULE, URI, self.pin, state_dir, RING, str(generation), "active")

    def hide(self):
        os.rename(self.store, self.store + ".away")

    def restore(self):
        os.rename(self.store + ".away", self.store)


class Daemon:
    """One p11-kmsd. With a token given it is a replica: it shares that and nothing else, and the ring
    is there, unless `init` says otherwise. `top`, `tokens` and `more` are lines of the configuration,
    of its token section and of its ring section; `env` are variables of its own."""

    def __init__(self, test, token=None, status_version="v2beta1", more="", env=(), init=False, top="",
                 tokens="", module=MODULE):
        self.test, self.token = test, token or Token(test)
        self.dir = tempfile.mkdtemp(prefix="d.", dir=self.token.dir)
        self.socket, self.state, self.log = (self.dir + name for name in ("/run/kms.sock", "/state", "/log"))
        os.mkdir(self.dir + "/run", 0o700)
        os.mkdir(self.state, 0o700)
        self.config = self.dir + "/config.yaml"
        write(self.config, CONFIG.format(socket=self.socket, uid=os.getuid(), status_version=status_version,
                                         state=self.state, module=module, uri=URI, pin=self.token.pin, ring=RING,
                                         more=more, top=top.format(dir=self.dir), token=tokens))
        self.env = dict(self.token.env, **dict(env))
        if token is None or init:
            self.token.run(program("P11KMS_BUILD_DIR", "p11-kms"), "init", "--config", self.config)
        self.process = None
        test.addCleanup(self.finish)
        self.start()

    def start(self):
        self.start_within(20)

    def start_within(self, seconds):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [program("P11KMS_BUILD_DIR", "p11-kmsd"), "--config", self.config], env=self.env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        self.await_healthy(seconds)

    def await_healthy(self, within):
        client = Client(self.socket)

        def ask():
            if self.process.poll() is not None:
                raise AssertionError(f"p11-kmsd ended by itself: {self.process.returncode}")
            try:
                healthz = client.status(V2)[1]
            except grpc.RpcError as error:
                return error.code()
            return None if healthz == "ok" else healthz

        try:
            eventually(within, ask, "a healthy daemon")
        finally:
            client.close()

    def stop(self):
        """Ends the daemon in order."""
        processes = tree(self.process.pid)
        self.process.terminate()
        if self.process.wait(10) != 0:
            raise AssertionError(f"p11-kmsd ended with {self.process.returncode} after SIGTERM")
        eventually(1, lambda: [pid for pid in processes if alive(pid)] or None, "the end of all processes")

    def kill(self):
        """Ends every process of the daemon at once and leaves its socket behind."""
        if self.process is None or self.process.poll() is not None:
            return
        processes = tree(self.process.pid)
        kill_all(processes)
        self.process.wait()
        eventually(5, lambda: [pid for pid in processes if alive(pid)] or None, "the end of all processes")

    def restart(self):
        self.stop()
        self.start()

    def finish(self):
        self.kill()
        with open(self.log, encoding="utf-8", errors="replace") as log:
            text = log.read()
        self.test.on_failure("output of p11-kmsd (the end of it):\n" + text[-8000:])
        if "Sanitizer" in text or "runtime error:" in text:
            raise AssertionError("a sanitizer has complained:\n" + text)

    def rescan(self):
        self.process.send_signal(signal.SIGHUP)

    def agents(self):
        return [pid for pid in tree(self.process.pid) if (process_stat(pid) or " ")[0] == "p11-kms-agent"]

    def kill_agents(self):
        agents = self.agents()
        assert agents, "the daemon has no agent"
        kill_all(agents)

    def front_end(self):
        below = [pid for pid in tree(self.process.pid)[1:] if (process_stat(pid) or " ")[0] == "p11-kmsd"]
        assert len(below) == 1, f"below the monitor there are the front ends {below}, not one"
        return below[0]

    def descriptors(self):
        """Open files of the front end; it is not dumpable, so that only root may ask."""
        return len(os.listdir(f"/proc/{self.front_end()}/fd"))
