"""What can be wrong with a container, each in one sentence, and how sure it is."""

from dataclasses import dataclass
from enum import Enum, IntEnum


class Cause(Enum):
    """Why a container does not do what it should. The value is the sentence that says so."""

    # it was never started, or the engine could not start it
    NOT_STARTED = "It was created, but never started"
    COMMAND_MISSING = "The program that it should run is not in the image, or not on its PATH"
    NOT_EXECUTABLE = (
        "The program that it should run can't be executed: it lacks the execute permission, or is no program"
    )
    WRONG_ARCHITECTURE = "The image is built for another processor architecture than the engine's"
    EXEC_FORMAT = (
        "The kernel does not know the format of the program: it is built for another processor architecture, or is a "
        "script whose first line is not #!"
    )
    INTERPRETER_MISSING = (
        "The program's file is there, but what should run it is not: the interpreter that its #! line names (Windows "
        "line endings change that name), or the dynamic loader"
    )
    PORT_TAKEN = "A port of the host that it publishes is taken"
    ADDRESS_NOT_HERE = "It publishes a port on an address that the host does not have"
    PORT_PRIVILEGED = "The engine may not use a port of the host that it publishes"
    NETWORK_GONE = "A network that it is connected to exists no more"
    ADDRESS_TAKEN = "The fixed address that it asks for is taken in its network"
    NAMESPACE_GONE = "It shares a namespace with another container, which does not run"
    MOUNT_SOURCE_MISSING = "What a mount should show does not exist on the host"
    MOUNT_KIND = (
        "A mount joins a directory and a file: where the file does not exist on the host, an empty directory is made"
    )
    MOUNT_TARGET = "The place of a mount can't be made: it lies in /proc, or in something read-only"
    VOLUME_FAILED = "A volume can't be mounted"
    USER_MISSING = "The user or group that it should run as is not in the image"
    WORKING_DIRECTORY = "The working directory can't be entered"
    DEVICE_MISSING = "A device that it asks for is not on the host"
    RUNTIME_MISSING = "The runtime that it asks for is not installed on the host"
    LOG_DRIVER = "Its log driver can't be started"
    LIMIT_REFUSED = "The kernel refuses a limit (ulimit, cgroup or sysctl) that it asks for"
    SECURITY_PROFILE = "A security profile (seccomp, AppArmor, SELinux) can't be applied"
    FIREWALL = "The engine can't write its firewall rules"
    IMAGE_DAMAGED = "The layers of its image or its own file system are damaged or gone"
    IMAGE_GONE = "The image that it was made from is gone from the engine"
    START_FAILED = "The engine could not start it; the error below says why"

    # it was ended
    OUT_OF_MEMORY = "The kernel killed it for want of memory"
    CHILD_OUT_OF_MEMORY = "The kernel killed a process in it for want of memory"
    STOPPED = "Somebody stopped it"
    STOP_IGNORED = "Somebody stopped it, and since it did not end when asked to, it was killed"
    KILLED = "Somebody killed it by a call to the engine"
    KILLED_OUTSIDE = "It was killed with SIGKILL, and not by a call to the engine"
    KILLED_UNKNOWN = "It was killed with SIGKILL"
    TERMINATED = "It was asked to end by SIGTERM"
    INTERRUPTED = "It was interrupted (SIGINT, as by Ctrl+C)"
    ENGINE_RESTARTED = "It ended together with the engine or the host"
    SEGMENTATION_FAULT = "It crashed with a segmentation fault"
    ABORTED = "It aborted itself (SIGABRT)"
    BUS_ERROR = "It crashed with a bus error: mostly a full /dev/shm or a truncated file"
    ILLEGAL_INSTRUCTION = "It uses instructions that this processor does not have"
    SIGNALLED = "A signal ended it"

    # it ended by itself
    RESTART_LOOP = "It is in a restart loop"
    GAVE_UP = "Its restart policy has given up"
    NO_FOREGROUND = "It ended at once and without an error: nothing stayed in the foreground"
    SHELL_WITHOUT_INPUT = "It ended at once and without an error: a shell that has neither input nor a terminal"
    FINISHED = "It ended without an error"
    PROGRAM_FAILED = "The program ended with an error of its own"

    # what the log tells
    APP_DOWN = "The program in it has failed, while what runs it goes on"
    API_TOO_OLD = "It speaks a version of the engine's API that the engine does not take any more"
    HOST_SETTING = "A setting of the host's kernel, or a ulimit of its own, is too low for it: its log names which"
    NOEXEC = "It loads a library from a place that is mounted noexec, as a tmpfs is"
    DATA_DAMAGED = "It can't use what it finds as its data: damaged, of another server, or where nothing should be yet"
    SHARED_MEMORY = "Its /dev/shm is too small"
    LISTEN_ADDRESS = "It wants to listen on an address that the container does not have"
    MIGRATION = "The schema of the database and the program's migrations do not fit together"
    NOT_READY = "A database is up, but takes no connection: it is still starting, or all of its connections are in use"
    WRITES_REFUSED = "A service that it uses takes no writes: its disk or memory is full, or it is a replica"
    TLS_MISMATCH = "It speaks TLS where the other side does not, or the reverse"
    CONNECTION_LOST = "The other side ended the connection"
    OWN_SOCKET = (
        "It looks for a database on a local socket, that is, in its own container: no host is set for it, or localhost"
    )
    READ_ONLY = "It writes where it can't: the file system is read-only"
    DISK_FULL = "There is no space left where it writes"
    WATCHES_USED_UP = "The host's inotify watches are used up"
    PROCESSES_USED_UP = "It can't start another process or thread: the limit is reached"
    FILES_USED_UP = "It has more files and connections open than it may"
    SHARED_LIBRARY = "A library or runtime that the program needs is missing, too old, or made for another system"
    LINE_ENDINGS = "A script in it has Windows line endings"
    DATA_VERSION = "The data in its volume belong to another version of the program"
    STALE_LOCK = "A lock or pid file says that the program runs already"
    PROGRAM_MEMORY = "The program itself ran out of the memory that it may use"
    PORT_IN_USE = "The port that it wants to listen on is in use"
    LOW_PORT = "It may not listen on a port below 1024, since it does not run as root"
    RUNS_AS_ROOT = "The program refuses to run as root"
    NOT_PERMITTED = "The kernel forbids what it does: it lacks a capability or privilege"
    ACCESS_DENIED = "It may not read or write a file: the permissions don't fit the user that it runs as"
    IS_A_DIRECTORY = "It finds a directory where it expects a file: mostly a mount whose file is not there on the host"
    VARIABLE_MISSING = "An environment variable that it needs is missing or empty"
    MODULE_MISSING = "A module or class that the program needs is not in the image"
    CERTIFICATE = "It does not trust a certificate, or the certificate is not valid"
    LOGIN_REFUSED = (
        "A user name or password is refused: by a service that it uses, or, if it is a server, by itself to another"
    )
    DATABASE_LACKS = "A table, user or database that is asked for is not in the database"
    WORKER_TIMEOUT = "A worker process of it does not answer in time, and its main process ends it"
    NO_TERMINAL = "It needs a terminal and has none"
    SHELL_COMMAND_MISSING = "A command in its script is not in the image"
    BAD_OPTION = "It does not understand its command line"
    BAD_CONFIGURATION = "It can't make sense of its configuration, or of a script"
    MISSING_FILE = "A file that it needs is not there"
    STACK_TRACE = "An error that the program does not handle ended it"

    # what it can't reach
    PEER_DOWN = "A container that it needs is down or not well"
    WRONG_NETWORK = "A container that it needs is in another network"
    DEFAULT_BRIDGE = "It looks for a container by name in the default bridge network, which has no names"
    NAMESPACE_LEFT = "It is in the network of a former run of another container, which has been started again since"
    NO_NETWORK = "It has no network at all"
    INTERNAL_NETWORK = "It reaches for the outside from an internal network"
    HOST_NAME = "host.docker.internal is not known in it"
    OWN_LOCALHOST = "It looks for another service on localhost, which in a container is the container itself"
    PEER_REFUSES = "A container that it needs runs, but does not listen on that port"
    NAME_UNKNOWN = "A host name that it looks for can't be resolved"
    REFUSED = "Another service refuses its connection: nothing listens there"
    UNREACHABLE = "It has no way to another service: the network is unreachable"
    TIMED_OUT = "Another service does not answer in time"

    # it runs
    PAUSED = "It is paused: its processes are frozen"
    DEAD = "The engine could not remove it entirely: it is dead"
    REMOVING = "It is being removed"
    PROBE_MISSING = "The health check can't run"
    PROBE_TIMEOUT = "The health check gets no answer in time"
    PROBE_REFUSED = "The health check fails, since nothing listens where it asks"
    PROBE_ANSWERED = "The health check fails, since the program answers with an error"
    UNHEALTHY = "The health check fails"
    HEALTH_STARTING = "The health check has not passed yet"
    LISTENS_LOCALLY = "It listens on its own 127.0.0.1 only: neither a published port nor another container gets there"
    PORT_MISMATCH = "It listens on another port than the published one"
    PORTS_WITHOUT_NETWORK = "It publishes ports, which its network leaves without effect"
    MEMORY_NEARLY_FULL = "Its memory is nearly used up"
    PROCESSES_NEARLY_FULL = "The number of its processes is near the limit"
    THROTTLED = "It wants more CPU than its limit allows, and is slowed down"
    BUSY = "It uses all the CPU that it may"
    RESTARTED_EARLIER = "It has been restarted by its policy before"
    IMAGE_CHANGED = "Its tag names another image by now: it runs an older one"
    EMULATED = "Its image is built for another processor architecture and runs emulated"
    NOT_PUBLISHED = "None of its ports are published: it is reached from its networks only"
    LOG_UNREADABLE = "Its log can't be read"
    WELL = "Nothing is wrong with it, as far as the engine tells"


class Weight(IntEnum):
    """How much a finding says, the most telling first; EARLIER is what the program has got over since."""

    CERTAIN = 0
    LIKELY = 1
    STATE = 2
    POSSIBLE = 3
    NOTE = 4
    EARLIER = 5


_DOUBTS = {Weight.LIKELY: "Likely: ", Weight.POSSIBLE: "Possibly: ", Weight.EARLIER: "Said before it came up: "}


@dataclass(frozen=True)
class Finding:
    """One thing that the facts show.

    Attributes:
        detail: figures and checked names. Nothing of a stranger's.
    """

    cause: Cause
    weight: Weight
    detail: str = ""

    def __str__(self) -> str:
        sentence = self.cause.value
        doubt = _DOUBTS.get(self.weight, "")
        if doubt and sentence[1:2] != ".":
            sentence = sentence[0].lower() + sentence[1:]
        joint = "; " if ":" in sentence else ": "
        return f"{doubt}{sentence}{joint + self.detail if self.detail else ''}."
