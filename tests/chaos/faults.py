"""What goes wrong: one function a fault. Each returns the moment from which everything may be well again."""

import random
import resource
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from chaos.beamline import RATE_HZ, Beamline
from chaos.crowd import connect_and_leave, no_descriptors_left
from chaos.disk import Disk
from chaos.fuzz import mutated
from chaos.fuzz_stream import burst
from chaos.listener import DeafSubscriber
from chaos.readers import PlainReader
from chaos.violations import Violation

MIB = 2**20
LONG_S = 20.0
AS_SHELLS_SAY = 128
"""Added to the number of a signal that ends a program which does not listen for it yet."""
DAMAGED = ("checkpoint-*", "*.npy", "spool/*.frame")


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a fault happens.

    Parameters
    ----------
    lasting
        Closed some rounds later: subscribers and readers that stay.
    """

    beamline: Beamline
    disk: Disk
    chance: random.Random
    lasting: ExitStack


Act = Callable[[Scene], int]


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault.

    Parameters
    ----------
    weight
        How often it is chosen.
    act
        Lets it happen, and ends it.
    ends_run
        Whether the daemon closes its run over it.
    """

    kind: str
    weight: int
    act: Act
    ends_run: bool = False


def kill_daemon(scene: Scene) -> int:
    """``kill -9``, and a new process."""
    killed_ns = time.time_ns()
    scene.beamline.end_daemon(signal.SIGKILL)
    if scene.chance.random() < 0.2:
        time.sleep(scene.chance.uniform(0.0, 1.0))
    scene.beamline.start_daemon()
    return killed_ns


def kill_daemon_while_it_starts(scene: Scene) -> int:
    """Twice: the second kill meets a process that is taking the run up."""
    killed_ns = time.time_ns()
    scene.beamline.end_daemon(signal.SIGKILL)
    scene.beamline.start_daemon()
    time.sleep(scene.chance.uniform(1.5, 4.0))
    scene.beamline.end_daemon(signal.SIGKILL)
    scene.beamline.start_daemon()
    return killed_ns


def damage_memory(scene: Scene) -> int:
    """A kill, and a disk that gives back other bytes of what lies beside the run than it was given."""
    killed_ns, beamline = time.time_ns(), scene.beamline
    beamline.end_daemon(signal.SIGKILL)
    memory = beamline.output.with_name(beamline.output.stem + ".resume")
    for path in [path for kind in DAMAGED for path in sorted(memory.glob(kind)) if scene.chance.random() < 0.5]:
        path.write_bytes(mutated(path.read_bytes(), scene.chance))
    beamline.start_daemon()
    return killed_ns


def stop_daemon(scene: Scene, number: signal.Signals) -> int:
    """Ask the daemon to end; its run is over, and the next one begins."""
    beamline = scene.beamline
    code, words = beamline.end_daemon(number)
    if code != 0:
        raise Violation(f"the daemon was asked to end and returned {code}: {words}")
    return time.time_ns()


def stop_daemon_while_it_starts(scene: Scene) -> int:
    """A clean stop, and then a daemon that is asked to end somewhere on its way up."""
    stop_daemon(scene, scene.chance.choice((signal.SIGTERM, signal.SIGINT)))
    number = scene.chance.choice((signal.SIGTERM, signal.SIGINT))
    code, words = scene.beamline.start_briefly(scene.chance.uniform(0.02, 4.0), number)
    if code not in {0, -number, AS_SHELLS_SAY + number} or "Traceback" in words:
        raise Violation(f"a daemon that was asked to end while it started returned {code}: {words[-1500:]}")
    return time.time_ns()


def freeze_daemon(scene: Scene) -> int:
    """SIGSTOP for a while, or for a long one."""
    scene.beamline.deaf()
    scene.beamline.daemon.send(signal.SIGSTOP)
    time.sleep(LONG_S if scene.chance.random() < 0.1 else scene.chance.uniform(0.3, 3.0))
    scene.beamline.daemon.send(signal.SIGCONT)
    return time.time_ns()


def kill_ioc(scene: Scene) -> int:
    """``kill -9`` of the IOC; the next one counts from one."""
    beamline = scene.beamline
    beamline.kill_ioc()
    if scene.chance.random() < 0.3:
        time.sleep(scene.chance.uniform(0.0, 1.0))
    beamline.start_ioc()
    return time.time_ns()


def freeze_ioc(scene: Scene) -> int:
    """The network stalls: sockets stand and nothing comes."""
    scene.beamline.ioc.stop_clock()
    time.sleep(scene.chance.uniform(0.3, 2.0))
    scene.beamline.ioc.continue_clock()
    return time.time_ns()


def spoil_frames(scene: Scene) -> int:
    """One to three frames that are not as they should be."""
    kinds = ("drop", "duplicate", "truncate", "reorder", "wrongtype", "wrongsize", "nan", "future", "past", "restart")
    for kind in scene.chance.sample(kinds, scene.chance.randint(1, 3)):
        text = f"{kind}:{scene.chance.choice((1, 40, 3600, 10**8))}" if kind in {"future", "past"} else kind
        scene.beamline.ioc.put("Sim:Fault", text)
    time.sleep(4 / RATE_HZ)
    return time.time_ns()


def cut_connection(scene: Scene) -> int:
    """The IOC gives up every socket and comes back; frames go on being counted meanwhile."""
    beamline = scene.beamline
    before = len(beamline.served())
    beamline.ioc.put("Sim:Fault", f"disconnect:{scene.chance.uniform(0.2, 1.5):.2f}")
    beamline.wait_until(
        lambda: any("disconnect" in frame.faults for frame in beamline.served()[before:]), "the frame of the cut"
    )
    return time.time_ns()


def fill_disk(scene: Scene) -> int:
    """The disk is full until what the daemon has in reserve is used up, or for a while."""
    beamline = scene.beamline
    beamline.may_end = True
    with scene.disk.full(beamline.daemon.pid, beamline.output):
        time.sleep(scene.chance.uniform(0.5, 2.0))
        if scene.chance.random() < 0.3:
            beamline.end_daemon(signal.SIGKILL)
            beamline.start_daemon()
            time.sleep(scene.chance.uniform(0.0, 5.0))
    return time.time_ns()


def lose_disk(scene: Scene) -> int:
    """The folder of the runs vanishes and comes back."""
    with scene.disk.vanished():
        time.sleep(scene.chance.uniform(0.5, 2.5))
    return time.time_ns()


def start_on_read_only_disk(scene: Scene) -> int:
    """The daemon is killed and cannot write when it starts again; whoever watches over it tries until it can."""
    beamline = scene.beamline
    beamline.end_daemon(signal.SIGKILL)
    beamline.may_end = True
    with scene.disk.read_only():
        beamline.start_daemon()
        end_s = time.monotonic() + scene.chance.uniform(2.0, 30.0)
        while time.monotonic() < end_s and not beamline.daemon.has_ended:
            time.sleep(0.1)
    return time.time_ns()


def deaf_subscriber(scene: Scene) -> int:
    """A subscriber that never reads stays for some rounds."""
    scene.lasting.callback(DeafSubscriber(scene.beamline.endpoint).close)
    return time.time_ns()


def holding_reader(scene: Scene) -> int:
    """A program holds the file open plainly for some rounds."""
    scene.lasting.callback(PlainReader(scene.beamline.output).close)
    return time.time_ns()


def garbage_on_sockets(scene: Scene) -> int:
    """A burst of nonsense on both sockets of the stream, in ZeroMQ's form and in none."""
    burst(scene.beamline.endpoint, scene.chance, messages=300)
    return time.time_ns()


def crowd(scene: Scene) -> int:
    """Hundreds of strangers connect and leave."""
    connect_and_leave(scene.beamline.endpoint, connections=500)
    return time.time_ns()


def no_descriptors(scene: Scene) -> int:
    """Strangers take every descriptor that the daemon may have."""
    with no_descriptors_left(scene.beamline.daemon.pid, scene.beamline.endpoint):
        time.sleep(scene.chance.uniform(0.3, 2.0))
    return time.time_ns()


def little_memory(scene: Scene) -> int:
    """No memory is given to the daemon for a while; it lives on, or ends with a sentence and goes on with its run."""
    beamline = scene.beamline
    beamline.may_end = True
    soft, hard = resource.prlimit(beamline.daemon.pid, resource.RLIMIT_AS)
    used = _address_space(beamline.daemon.pid)
    resource.prlimit(beamline.daemon.pid, resource.RLIMIT_AS, (used - scene.chance.randrange(4 * MIB), hard))
    time.sleep(scene.chance.uniform(0.5, 3.0))
    if not beamline.daemon.has_ended:
        resource.prlimit(beamline.daemon.pid, resource.RLIMIT_AS, (soft, hard))
        time.sleep(0.3)
    return time.time_ns()


def _address_space(process: int) -> int:
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()


FAULTS = (
    Fault("daemon kill -9", 50, kill_daemon),
    Fault("daemon kill -9 twice", 10, kill_daemon_while_it_starts),
    Fault("kill -9, damaged memory", 8, damage_memory),
    Fault("daemon SIGTERM", 6, lambda scene: stop_daemon(scene, signal.SIGTERM), ends_run=True),
    Fault("daemon SIGINT", 6, lambda scene: stop_daemon(scene, signal.SIGINT), ends_run=True),
    Fault("stop while starting", 6, stop_daemon_while_it_starts, ends_run=True),
    Fault("daemon SIGSTOP", 14, freeze_daemon),
    Fault("IOC kill -9", 20, kill_ioc),
    Fault("network stall", 12, freeze_ioc),
    Fault("connection cut", 12, cut_connection),
    Fault("spoilt frames", 30, spoil_frames),
    Fault("full disk", 10, fill_disk),
    Fault("vanished disk", 8, lose_disk),
    Fault("read-only disk at start", 6, start_on_read_only_disk),
    Fault("subscriber that never reads", 6, deaf_subscriber),
    Fault("reader that holds the file", 6, holding_reader),
    Fault("garbage on the sockets", 8, garbage_on_sockets),
    Fault("500 strangers connect", 4, crowd),
    Fault("no descriptors left", 5, no_descriptors),
    Fault("memory limit", 8, little_memory),
)
