#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Three daemons on one token, each with a client like an API server, while KEKs are rotated,
processes killed and clocks set. P11KMS_BUILD_DIR names the directory of the programs.

usage: test_replicas.py [--seconds N] [--seed N]
"""

import argparse
import collections
import glob
import json
import os
import random
import subprocess
import sys
import threading
import time
import unittest

try:
    import grpc
except ImportError:
    print("SKIP: python3-grpcio is not installed; the drill of three replicas did not run", file=sys.stderr)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)

from daemon import MODULE, Daemon, Token, eventually, kill_all, process_stat, program, tree, write
from kms_client import APIS, V2, Client

REPLICAS = 3
ROTATE_EVERY, DELAY = 4, 2  # seconds; DELAY is ring.activationDelay
RING = f"""  rotateEvery: {ROTATE_EVERY}s
  activationDelay: {DELAY}s
  rescanEvery: 1s
"""
PAUSE = 0.01  # seconds between a client's turns
PATIENCE = 20  # seconds that a call may go on failing while processes are killed
UNDISTURBED = 6  # seconds of a drill that the agreement takes
SETTLED = 60  # seconds that a rotation may take without kills and jumps
JUMPS = (1, 10, 600, 3000, 7200, 40 * 86400)  # seconds, either way
SET_CLOCK = "../tests/harness/set-clock.so"


class Clock:
    """What one daemon takes for the time: ours and an offset, which set_clock.c reads at each call.
    Timers stay true: a jump of the wall clock is none of CLOCK_MONOTONIC."""

    def __init__(self, path):
        self.path = path
        self.set(0)

    def set(self, offset):
        write(self.path + ".new", f"{offset * 1000:.0f}\n")
        os.rename(self.path + ".new", self.path)

    def variables(self):
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return {"LD_PRELOAD": os.path.abspath(program("P11KMS_BUILD_DIR", SET_CLOCK)), "ASAN_OPTIONS": options,
                "P11KMS_TEST_CLOCK": self.path}


class Store:
    """What all clients have sealed; each opens what the others sealed."""

    def __init__(self):
        self.lock, self.kept = threading.Lock(), []

    def add(self, *entry):
        with self.lock:
            self.kept.append(entry)

    def choose(self, rng):
        with self.lock:
            return rng.choice(self.kept)


class ApiServer(threading.Thread):
    """Asks Status, encrypts and reads what is old, all the time; it keeps nothing to spare a call."""

    def __init__(self, name, socket, store, seed):
        super().__init__(name=name)
        self.client, self.store, self.rng = Client(socket), store, random.Random(seed)
        self.stop, self.failure = threading.Event(), None
        self.seen = []  # key_ids in the order of the answers, of Status and Encrypt
        self.counts = collections.Counter()

    def patiently(self, call, *arguments):
        """A call, made again while the daemon or its token is away."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return call(*arguments)
            except grpc.RpcError as error:
                code, text = error.code(), error.details()
                # a login that was cut short waits for a person: Replica.mend_pin
                passes = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED) or "PIN" in text
                if not passes or time.monotonic() > deadline:
                    raise AssertionError(f"{call.__name__}: {code.name}: {text}") from error
                self.counts[code.name + " and tried again"] += 1
                time.sleep(0.02)  # lint: polls a condition

    def saw(self, key_id):
        if key_id and key_id not in self.seen[-1:]:
            self.seen.append(key_id)

    def turn(self):
        api, plaintext = self.rng.choice(APIS), self.rng.randbytes(32)
        self.saw(self.patiently(self.client.status, V2)[2])
        sealed = self.patiently(self.client.encrypt, api, plaintext)
        self.saw(sealed.key_id)
        self.saw(self.patiently(self.client.status, V2)[2])
        self.store.add(self.name, api, sealed, plaintext)
        self.counts["Encrypt"] += 1
        for _ in range(3):
            self.open(*self.store.choose(self.rng))

    def open(self, sealer, api, sealed, plaintext):
        what = f"what {sealer} sealed by {api.package} under {sealed.key_id or 'some KEK'}"
        try:
            opened = self.patiently(self.client.decrypt, api, sealed)
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from error
        if opened != plaintext:
            raise AssertionError(f"{what} opens to something else")
        self.counts["Decrypt"] += 1

    def run(self):
        try:
            while not self.stop.wait(PAUSE):
                self.turn()
        except Exception as failure:  # told by the test, Replicas.look_after
            self.failure = failure
        finally:
            self.client.close()


class Replica:
    def __init__(self, test, name, token, store):
        self.name, self.clock = name, Clock(f"{token.dir}/clock-{name}")
        self.daemon = Daemon(test, token, more=RING, env=self.clock.variables())
        self.server = ApiServer(name, self.daemon.socket, store, test.rng.random())

    def keys(self, *words):
        """p11-kms keys ...: what it printed, or None when it failed."""
        done = subprocess.run([program("P11KMS_BUILD_DIR", "p11-kms"), "keys", *words, "--json", "--config",
                               self.daemon.config], env=self.daemon.token.env, capture_output=True, text=True,
                              timeout=60, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def mend_pin(self, age=2):
        """An agent that was killed in C_Login leaves a PIN that counts as refused: a person looks."""
        mended = 0
        for record in glob.glob(self.daemon.state + "/pin-*.record"):
            try:
                if time.time() - os.stat(record).st_mtime >= age:
                    os.unlink(record)
                    self.daemon.rescan()
                    mended += 1
            except FileNotFoundError:
                pass  # a login that has succeeded meanwhile
        return mended


class Replicas(unittest.TestCase):
    seconds, seed = 20, None

    def setUp(self):
        if self.seed is None:
            self.seed = random.SystemRandom().randrange(1 << 32)
        print(f"seed {self.seed}, {self.seconds} s", flush=True)
        self.rng, self.done = random.Random(self.seed), collections.Counter()
        self.token, store = Token(self), Store()
        first = Daemon(self, self.token, more=RING, init=True)
        first.stop()
        self.replicas = [Replica(self, name, self.token, store) for name in ("one", "two", "three")]

    def on_failure(self, text):
        result = self._outcome.result
        if result.failures or result.errors:
            print(text, file=sys.stderr)

    # --- what happens to a replica; the answer says whether it did

    def rotate(self, replica):
        return replica.keys("rotate") is not None

    def activate(self, replica):
        """What is on its way need not wait: a person may say so, or have to, where clocks have jumped."""
        pending = [key_id for key_id, (_, state) in self.ring().items() if state == "pre-active"]
        return any([replica.keys("activate", key_id) for key_id in pending])

    def kill_agent(self, replica):
        agents = replica.daemon.agents()
        kill_all(self.rng.sample(agents, min(len(agents), 1)))
        return bool(agents)

    def kill_front_end(self, replica):
        kill_all(pid for pid in tree(replica.daemon.process.pid)[1:] if (process_stat(pid) or " ")[0] == "p11-kmsd")
        return True

    def kill_daemon(self, replica):
        replica.daemon.kill()
        self.done["PIN mended"] += replica.mend_pin(age=0)
        replica.daemon.start()
        return True

    def set_clock(self, replica):
        replica.clock.set(self.rng.choice((-1, 1)) * self.rng.choice(JUMPS) * self.rng.random())
        return True

    def set_clocks_right(self, _replica):
        for replica in self.replicas:
            replica.clock.set(0)
        return True

    def disturb(self, seconds):
        actions = [self.rotate] * 3 + [self.activate] * 2 + [self.kill_agent] * 3 + [self.set_clock] * 2 + [
            self.kill_front_end, self.kill_daemon, self.set_clocks_right]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            action, replica = self.rng.choice(actions), self.rng.choice(self.replicas)
            happened = action(replica)
            self.done[action.__name__ + ("" if happened else " in vain")] += 1
            self.look_after(self.rng.random())

    def look_after(self, seconds):
        """Lets the clients work; fails as soon as one of them has failed."""
        until = time.monotonic() + seconds
        while True:
            for replica in self.replicas:
                self.done["PIN mended"] += replica.mend_pin()
                if replica.server.failure:
                    raise AssertionError(f"{replica.name}: {replica.server.failure}") from replica.server.failure
            if time.monotonic() >= until:
                return
            time.sleep(0.05)  # lint: polls a condition

    # --- the ring

    def listing(self):
        """The lines of labels and those of CKA_IDs. SoftHSM may refuse to read a token that another process is
        writing to, or show a key of it without its attributes."""
        for left in range(10, -1, -1):
            try:
                out = self.token.run("pkcs11-tool", "--module", MODULE, "--login", "--pin", "1234",
                                     "--type", "secrkey", "--list-objects")
            except AssertionError as error:
                if left == 0 or "CKR_" not in str(error):
                    raise
                continue
            lines = [line.strip() for line in out.splitlines()]
            labels = [line for line in lines if line.startswith("label:")]
            ids = [line for line in lines if line.startswith("ID:")]
            if len(labels) == len(ids) == sum(" Object;" in line for line in lines):
                return labels, ids
        return self.fail(f"an object without label or CKA_ID: {out}")

    def ring(self):
        """Rank (generation, key_id) and state of every KEK, as OpenSC sees them on the token."""
        labels, ids = self.listing()
        labels = [line.split()[1].split("/") for line in labels]
        ids = [line.split()[1] for line in ids]
        ret = {}
        for label, raw in zip(labels, ids):
            key_id = f"k8s.{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"
            ret[key_id] = ((int(label[2]), key_id), label[-1])
        return ret

    def check_order(self, ring):
        """No daemon ever goes back to an older KEK, over kills and jumps; so Encrypt agrees with the
        Status before and the Status after."""
        for replica in self.replicas:
            seen = replica.server.seen
            ranks = [ring[key_id][0] for key_id in seen]
            for before, after in zip(ranks, ranks[1:]):
                self.assertLess(before, after, f"{replica.name} went from {before} to {after}")
            self.assertGreater(len(seen), 2, f"{replica.name} has hardly seen a rotation")

    def settle(self):
        """Right clocks, and what the jumps have left behind: a KEK dated ahead waits for a person."""
        self.set_clocks_right(None)
        self.activate(self.replicas[0])

    def check_agreement(self):
        """Clocks that are wrong by less than half of activationDelay, and nothing killed."""
        for replica, skew in zip(self.replicas, (-0.45, 0, 0.45)):
            replica.clock.set(skew * DELAY)
        for replica in self.replicas:
            def ask():
                self.look_after(0)
                ids = {other.server.patiently(other.server.client.status, V2)[2] for other in self.replicas}
                newest = max(self.ring().values())[0][1]
                return None if ids == {newest} else f"{ids}, and {newest} is the newest"

            self.rotate(replica)
            eventually(SETTLED, ask, f"all agree after {replica.name} has rotated")

    def test_replicas(self):
        for replica in self.replicas:
            replica.server.start()
        began = time.monotonic()
        try:
            self.disturb(self.seconds - UNDISTURBED)
            self.settle()
            self.check_agreement()
            self.look_after(1)
        finally:
            for replica in self.replicas:
                replica.server.stop.set()
            for replica in self.replicas:
                replica.server.join()
        self.look_after(0)
        ring, took = self.ring(), time.monotonic() - began
        self.tell(ring, took)
        self.check_order(ring)
        self.check_states(ring)
        # each order and each jump may make its successor due at once on a replica whose clock is ahead
        causes = self.done["rotate"] + self.done["activate"] + self.done["set_clock"] + REPLICAS + took / ROTATE_EVERY
        self.assertLess(len(ring), 2 * causes + REPLICAS, "a storm of KEKs")

    def check_states(self, ring):
        states = collections.Counter(state for _, state in ring.values())
        self.assertEqual(set(states) - {"pre-active", "active", "deactivated"}, set())

    def tell(self, ring, took):
        counts = sum((replica.server.counts for replica in self.replicas), collections.Counter())
        print(f"figure: {took:.0f} s, {len(ring)} KEKs, {dict(counts)}, {dict(self.done)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=os.environ.get("P11KMS_SEED"))
    options = parser.parse_args()
    Replicas.seconds, Replicas.seed = options.seconds, options.seed and int(options.seed)
    unittest.main(argv=sys.argv[:1], verbosity=2)


if __name__ == "__main__":
    main()
