"""What to do about a cause: the least risky first, with tools that the caller has, or else by a person."""

from collections.abc import Collection, Mapping, Sequence

from mcp_docker.prompts.diagnosis.findings import Cause, Finding, Weight

MOST = 5

_PERSON = "a person runs"

_TOOLS: Mapping[str, tuple[str, str, str]] = {
    "inspect": ("docker_inspect_container", 'container_id="{name}"', "docker inspect {name}"),
    "logs": ("docker_container_logs", 'container_id="{name}", tail=500', "docker logs --tail 500 {name}"),
    "follow": (
        "docker_container_logs",
        'container_id="{name}", follow=true, seconds=15',
        "docker logs --follow {name}",
    ),
    "stats": ("docker_container_stats", 'container_id="{name}"', "docker stats {name}"),
    "events": ("docker_events", 'since="1h", filters={{"container":"{name}"}}', "docker events --since 1h"),
    "all_events": ("docker_events", 'since="1h"', "docker events --since 1h"),
    "list": ("docker_list_containers", "all=true", "docker ps --all"),
    "networks": ("docker_list_networks", "", "docker network ls"),
    "start": ("docker_start_container", 'container_id="{name}"', "docker start {name}"),
    "stop": ("docker_stop_container", 'container_id="{name}"', "docker stop {name}"),
    "restart": ("docker_restart_container", 'container_id="{name}"', "docker restart {name}"),
    "connect": (
        "docker_connect_container",
        'network_id=..., container_id="{name}"',
        "docker network connect NETWORK {name}",
    ),
    "remove": ("docker_remove_container", 'container_id="{name}"', "docker rm {name}"),
    "images": ("docker_list_images", "", "docker images"),
}
"""Ways to look and to act: the tool, its arguments, and the command of a person who has no such tool."""

_ANEW = "A container's settings can't be changed in place: {create} with "
_LOOK_IN = "Look into the image without starting its program: {create} with command "

_STEPS: Mapping[tuple[Cause, ...], tuple[str, ...]] = {
    (Cause.NOT_STARTED,): ("Start it: {start}. What the engine answers then is the cause, if it fails.",),
    (Cause.MOUNT_SOURCE_MISSING,): (
        "Compare the sources of the mounts above with what is on the host; a person creates what is missing there.",
        "Then {start}.",
    ),
    (Cause.COMMAND_MISSING,): (
        "Compare entrypoint and command above with what the image has ({image}): is the name misspelt, the path wrong, "
        "or the whole command line given as one word?",
        _ANEW + "the right command, or with an image that has the program.",
    ),
    (Cause.NOT_EXECUTABLE,): (
        "In the image, give the file the execute permission (chmod +x before COPY, or COPY --chmod=755), or run it "
        'through its interpreter (["sh", "/path"]).',
        "If it comes from a mount: that must not be noexec, and the file on the host needs the permission.",
    ),
    (Cause.WRONG_ARCHITECTURE, Cause.EXEC_FORMAT): (
        "Compare the architectures of image and engine: {image}; {version}.",
        "Get the image for the engine's architecture ({pull} with platform; {build} for one of your own). If it is a "
        "script, its first line has to be #! and an interpreter.",
        _ANEW + "that image.",
    ),
    (Cause.INTERPRETER_MISSING,): (
        "Look at the first line of the script that it runs: the interpreter there (often bash, which small images "
        "lack) has to exist, and the line has to end in LF, not in CR LF.",
        "For a compiled program: it needs the loader of another system (glibc on an Alpine image, or the reverse); "
        "build it for this one, or statically.",
    ),
    (Cause.LINE_ENDINGS,): (
        "Convert the script to LF line endings (dos2unix; text eol=lf in .gitattributes) and build the image anew: "
        "{build}.",
    ),
    (Cause.PORT_TAKEN,): (
        "Find what has the port: {list}; if no container, a person asks the host (ss -ltnp).",
        "Either end that, if it is not needed, and then {start}; or publish another one. " + _ANEW + "other ports.",
    ),
    (Cause.ADDRESS_NOT_HERE, Cause.PORT_PRIVILEGED): (
        _ANEW + "an address that the host has (127.0.0.1 for the host alone), and a port from 1024 on.",
    ),
    (Cause.NETWORK_GONE, Cause.ADDRESS_TAKEN): (
        "See which networks there are: {networks}.",
        "A network that is made anew under its name is another one: {connect} connects the container; then {start}. "
        "For an address: leave it to the engine, or choose a free one.",
    ),
    (Cause.NAMESPACE_GONE,): (
        "Find the container that it depends on ({list}), find out why that one does not run, and start it first.",
        "If that container was made anew, this one has to be, too, since it is tied to the old id.",
    ),
    (Cause.MOUNT_KIND, Cause.IS_A_DIRECTORY): (
        "Check the mounts above: a person looks whether each source on the host is the file that is meant. An empty "
        "directory there was made by the engine, since the file did not exist.",
        "Put the file there (after removing the empty directory), and make the container anew.",
    ),
    (Cause.MOUNT_TARGET,): ("Mount to a path that the image has, not below /proc, or make the outer mount writable.",),
    (Cause.VOLUME_FAILED,): (
        "Check driver and options of the volume that the error names, and whether what it mounts can be reached.",
    ),
    (Cause.USER_MISSING,): (_ANEW + "a user that the image has, or a number (uid:gid).",),
    (Cause.WORKING_DIRECTORY,): (_ANEW + "a working directory that exists and that its user may enter.",),
    (Cause.DEVICE_MISSING, Cause.RUNTIME_MISSING, Cause.LIMIT_REFUSED, Cause.SECURITY_PROFILE): (
        "Decide whether the container needs it. If not: " + _ANEW[0].lower() + _ANEW[1:] + "that left out.",
        "If it does: a person sets up the host (driver, toolkit, profile, or a limit that the kernel takes).",
    ),
    (Cause.LOG_DRIVER,): (
        "Check that the log driver's address can be reached from the host, or use the driver json-file or local.",
    ),
    (Cause.FIREWALL,): ("A person restarts the engine, which writes its rules anew, or looks who deleted them.",),
    (Cause.IMAGE_DAMAGED, Cause.IMAGE_GONE): (
        "The container can mostly still be started and read, but not be made anew from this image: {start}.",
        "Get the image again under the name above ({pull}, {build}) and make the container anew from it.",
    ),
    (Cause.START_FAILED,): ("Act on the engine's error above, which is the whole account of it.",),
    (Cause.OUT_OF_MEMORY, Cause.CHILD_OUT_OF_MEMORY, Cause.MEMORY_NEARLY_FULL): (
        "Find out whether it needs that much or leaks: {stats} while it runs; the log before the end: {logs}.",
        "Bound the program itself below the limit, where it can be (-Xmx, --max-old-space-size, workers, caches).",
        "Or give it more: a person runs docker update --memory SIZE --memory-swap SIZE {name}; for good, {create} with "
        "a larger mem_limit.",
    ),
    (Cause.STOPPED, Cause.KILLED, Cause.INTERRUPTED): (
        "It is no fault of the container. See what happened around it: {all_events}.",
        "If it is to run: {start}.",
    ),
    (Cause.STOP_IGNORED,): (
        "If it is to run: {start}.",
        "So that it ends in time: its process 1 has to handle SIGTERM (exec in the start script, JSON form of CMD, "
        "--init), or be given a longer timeout when it is stopped.",
    ),
    (Cause.KILLED_OUTSIDE, Cause.KILLED_UNKNOWN): (
        "See what happened around it: {all_events}; and what it wrote last: {logs}.",
        "A person looks for the memory killer in the host's kernel log (dmesg, journalctl -k) at the time it ended.",
        "If it was memory: give it a limit and bound the program below it.",
    ),
    (Cause.TERMINATED, Cause.SIGNALLED): (
        "See who asked for it: {all_events}; and what it wrote when it ended: {logs}.",
        "If it is to run: {start}.",
    ),
    (Cause.ENGINE_RESTARTED,): (
        "See whether others ended at the same time: {list}.",
        "{start}; with a restart policy of unless-stopped it would have been started again.",
    ),
    (Cause.SEGMENTATION_FAULT, Cause.ABORTED, Cause.BUS_ERROR, Cause.ILLEGAL_INSTRUCTION): (
        "Read what it wrote before the crash: {logs}.",
        "Try another version of the image: crashes like this come from the program, a native library, or an image "
        "made for newer processors; a bus error also from a /dev/shm that is too small (--shm-size).",
    ),
    (Cause.RESTART_LOOP, Cause.GAVE_UP, Cause.PROGRAM_FAILED, Cause.STACK_TRACE, Cause.APP_DOWN): (
        "Read the program's own account: the log above, and more with {logs}. The first error of a run is mostly the "
        "cause, and the last its consequence.",
        "Compare its command, environment and mounts with what that error asks for: {inspect}.",
    ),
    (Cause.NO_FOREGROUND,): (
        "A container lives as long as its first program: run the service in the foreground (no daemon mode, no & at "
        "the end). " + _ANEW + "such a command.",
        "If it is a job that is done, its restart policy should be on-failure or no.",
    ),
    (Cause.SHELL_WITHOUT_INPUT,): (
        _ANEW + "the command that it is to run; or, for a shell to work in, with a terminal and open input (a "
        "person: docker run -it).",
    ),
    (Cause.FINISHED,): ("Nothing has to be done if it is a job; {start} runs it again.",),
    (Cause.READ_ONLY,): (
        "Let it write to a place that is made for it: " + _ANEW[0].lower() + _ANEW[1:] + "a volume on that path (or a "
        "person with --tmpfs); make a read-only mount writable only if that is meant.",
    ),
    (Cause.DISK_FULL,): (
        "Find out which place is full: a tmpfs has its own size, a volume and the container share the engine's disk; "
        "{exec_df}.",
        "Make room there, or enlarge the tmpfs. Removing unused images and build cache frees the engine's disk, and is "
        "a person's decision.",
    ),
    (Cause.WATCHES_USED_UP,): ("A person raises fs.inotify.max_user_watches and max_user_instances on the host.",),
    (Cause.API_TOO_OLD,): ("Get a newer version of its image ({pull}), and make the container anew from it.",),
    (Cause.HOST_SETTING,): (
        "A person sets what the log names: a sysctl of the host (sysctl -w vm.max_map_count=262144, and for good in "
        "/etc/sysctl.d), or a ulimit of the container (--ulimit nofile=65536:65536, memlock=-1:-1). Then {start}.",
    ),
    (Cause.NOEXEC,): ("Make that tmpfs with exec (--tmpfs /tmp:exec), or point TMPDIR to a place that is not noexec.",),
    (Cause.DATA_DAMAGED,): (
        "Back the volume up before anything else; see whether another container uses it: {list}.",
        "Repair the data as the program's documentation says; or give it an empty volume of its own (a mount point of "
        "the host has lost+found in it: take a folder below).",
    ),
    (Cause.SHARED_MEMORY,): ("A person makes it anew with a larger --shm-size (without it, there are 64 MiB).",),
    (Cause.MIGRATION,): (
        "Compare the database's revision with those that the image has: is the image older, or did a migration fail or "
        "never run? Back the database up before one is run or mended.",
    ),
    (Cause.NOT_READY,): (
        "If it was starting: {restart}, and let the program try again or wait for its health check.",
        "Else find out who has the connections: fewer workers, smaller pools, or a higher limit of the database.",
    ),
    (Cause.TLS_MISMATCH,): (
        "Compare the client's scheme or sslmode with the port that it asks and what serves there.",
    ),
    (Cause.WRITES_REFUSED, Cause.CONNECTION_LOST): (
        "See the other side's log at that time, its memory and disk: {list}.",
    ),
    (Cause.PROCESSES_USED_UP, Cause.PROCESSES_NEARLY_FULL): (
        "Find out whether processes pile up (zombies need --init) or it needs that many: {stats}.",
        "Bound its workers or threads; or a person runs docker update --pids-limit N {name}.",
    ),
    (Cause.FILES_USED_UP,): (
        "Find out whether it leaks connections or files; else a person makes it anew with --ulimit nofile=N.",
    ),
    (Cause.SHARED_LIBRARY, Cause.MODULE_MISSING): (
        "Install what the log names when the image is built, or use an image that has it (a program for glibc does not "
        "run on Alpine); a mount over the program's directory hides what the image has there.",
        "Build the image anew ({build}) and make the container from it.",
    ),
    (Cause.DATA_VERSION,): (
        "Go back to the version of the image that wrote the data, and back the volume up before anything else.",
        "Then upgrade as the program's documentation says.",
    ),
    (Cause.STALE_LOCK,): (
        "See whether another container uses the same volume: {list}.",
        "Only if none does: remove the lock file that the log names (outside of volumes, a new container lacks it).",
    ),
    (Cause.PROGRAM_MEMORY,): (
        "Compare the program's own setting (-Xmx, --max-old-space-size, memory_limit) with the container's limit "
        "above, and raise the smaller one.",
    ),
    (Cause.PORT_IN_USE,): (
        "Two programs in one network namespace want that port: look for a second process in the container, another "
        "container that shares its network, or, in the host's network, a program of the host. Give one another port.",
    ),
    (Cause.LOW_PORT,): (
        "Let it listen on a port from 1024 on and publish that one as the low port of the host; the capability "
        "NET_BIND_SERVICE is the other way.",
    ),
    (Cause.RUNS_AS_ROOT,): (_ANEW + "another user.",),
    (Cause.NOT_PERMITTED,): (
        "Find out which capability the operation in the log needs, and whether the container should have it. "
        + _ANEW
        + "that one capability, not as privileged.",
    ),
    (Cause.ACCESS_DENIED,): (
        "Compare the owner and mode of the path that the log names with the user that it runs as: {exec_ls}.",
        "Change the owner of what is mounted, or the user: " + _ANEW[0].lower() + _ANEW[1:] + "the user that owns it.",
    ),
    (Cause.VARIABLE_MISSING,): (
        "Compare the name in the log with the names above, letter by letter.",
        _ANEW + "it in environment. Ask a person for the value if it is a secret.",
    ),
    (Cause.CERTIFICATE,): (
        "Check the certificate's date, name and issuer; a private authority has to be mounted or built into the image. "
        "Do not switch verification off.",
    ),
    (Cause.LOGIN_REFUSED,): (
        "Compare user and database name with what the other service was set up with. A database takes its password "
        "from the environment only when its volume is empty: a changed one has no effect on an old volume.",
    ),
    (Cause.DATABASE_LACKS,): (
        "See whether its set-up or migration has run, and against this database: {logs}.",
        "A database makes users and databases from its environment only when its volume is empty.",
    ),
    (Cause.WORKER_TIMEOUT,): (
        "See what a worker waits for or computes so long: {stats}; {logs}.",
        "If the work does take that long: a longer timeout of the program's own, or more workers.",
    ),
    (Cause.NO_TERMINAL,): (_ANEW + "a terminal (tty), or run it without the option that asks for one.",),
    (Cause.SHELL_COMMAND_MISSING,): (
        "Install the command that the log names when the image is built ({build}), or write its full path.",
    ),
    (Cause.BAD_OPTION,): (
        "Compare command and entrypoint above with the version of the program in the image: {image}.",
        _ANEW + "the right command.",
    ),
    (Cause.BAD_CONFIGURATION,): (
        "Correct what the log names; a mounted file is changed on the host, then {restart}.",
        "Check that the image's version understands it: {image}.",
    ),
    (Cause.MISSING_FILE,): (
        "See whether the path that the log names should come from the image, a mount or an earlier step, and whether a "
        "mount hides it.",
        _LOOK_IN + '["ls", "-l", DIRECTORY].',
    ),
    (Cause.PEER_DOWN,): (
        "Find out what is wrong with that container, with this prompt for it; mend that, then {restart}.",
        "So that it does not depend on the order of starts, the program should try again.",
    ),
    (Cause.WRONG_NETWORK,): (
        "Connect it to the network of the other one: {connect}. Names are known from then on.",
        "Then see whether it gets there: {follow}.",
    ),
    (Cause.NAMESPACE_LEFT,): (
        "Start it anew, so that it joins the network that the other one has now: {restart}.",
        "It has to be done after each start of the other one.",
    ),
    (Cause.DEFAULT_BRIDGE,): (
        "Put both into one network of their own ({network_create}; {connect}, and the same for the other): containers "
        "know each other's names there.",
    ),
    (Cause.NO_NETWORK, Cause.INTERNAL_NETWORK): (
        "If it is meant to reach out: {connect}, with a network that is not internal.",
        "A container with network mode none has to be made anew.",
    ),
    (Cause.HOST_NAME,): (_ANEW + "extra_hosts host.docker.internal:host-gateway.",),
    (Cause.OWN_LOCALHOST, Cause.OWN_SOCKET): (
        "Use the other container's name and its own port instead of localhost, in one network with it; for a program "
        "on the host, host.docker.internal with extra_hosts host-gateway.",
    ),
    (Cause.PEER_REFUSES,): (
        "Read the other container's log: does it listen yet, on that port, and on 0.0.0.0?",
        "Inside a network the container's own port counts, not the published one.",
    ),
    (Cause.NAME_UNKNOWN,): (
        "Compare the name in the log with the containers that there are: {list}.",
        "For a name outside: check the name servers of the container and of the host.",
    ),
    (Cause.REFUSED, Cause.UNREACHABLE, Cause.TIMED_OUT): (
        "Check host and port in the log: is the other side up, and is this its address from inside of the container? "
        "{list}.",
        "Addresses of containers change with every start: use names.",
    ),
    (Cause.PAUSED,): ("A person runs docker unpause {name}.",),
    (Cause.DEAD, Cause.REMOVING): ("{remove}; if that fails, a person restarts the engine and tries again.",),
    (Cause.PROBE_MISSING,): (
        "The program itself may be well: see its log. Change the health check to a command that the image has (wget "
        "instead of curl, a shell's own means, or the program's), or install it; make a script executable.",
    ),
    (Cause.PROBE_TIMEOUT,): (
        "See whether the program is busy or hangs: {stats}; {logs}.",
        "If it is only slow: a longer timeout or start period of the health check.",
    ),
    (Cause.PROBE_REFUSED,): (
        "See in the log whether the program listens at all, on which port and address: {logs}.",
        "Make the health check ask there (localhost may mean ::1); mend the program, if it does not come up; give it a "
        "start period, if it is only slow.",
    ),
    (Cause.PROBE_ANSWERED, Cause.UNHEALTHY): (
        "Read what the probe printed above and what the program wrote at that time: {logs}.",
        "Run the probe by hand: {exec_probe}.",
    ),
    (Cause.HEALTH_STARTING,): ("Wait, and look again: {inspect}. Until then the log tells more: {follow}.",),
    (Cause.LISTENS_LOCALLY, Cause.LISTEN_ADDRESS): (
        "Make the program listen on 0.0.0.0 (its host, bind or listen option), and make the container anew with that.",
    ),
    (Cause.PORT_MISMATCH,): (_ANEW + "the port that it listens on as the inner one of the published pair.",),
    (Cause.PORTS_WITHOUT_NETWORK,): (
        "In the host's network the program's own ports are the host's; with none or another container's network, "
        "publish ports there. Else " + _ANEW[0].lower() + _ANEW[1:] + "a bridge network that is not internal.",
    ),
    (Cause.THROTTLED, Cause.BUSY): (
        "See whether it is busy with work or in a loop: {stats}; {logs}.",
        "A person gives it more: docker update --cpus N {name}.",
    ),
    (Cause.WELL,): ("Ask what is expected of it, and not seen; then look there: {logs}; {stats}.",),
}


_TOLD_BY_LOG = (Cause.RESTART_LOOP, Cause.GAVE_UP, Cause.PROGRAM_FAILED, Cause.STACK_TRACE)
_OTHERWISE = "If that is not it: the program's own account is in the log; more of it with {logs}."


def steps(findings: Sequence[Finding], tools: Collection[str], name: str) -> list[str]:
    """What to do about what was found: the first cause in full, and of others the first step.

    Args:
        tools: names of the tools that the caller sees.
        name: of the container.
    """
    ways = _ways(tools, name)
    found: list[str] = []
    for at, finding in enumerate(findings):
        known = next((told for causes, told in _STEPS.items() if finding.cause in causes), ())
        if at == 0:
            found += known
        elif finding.weight < Weight.NOTE and finding.cause not in _TOLD_BY_LOG:
            found += known[:1]
    if findings[0].weight is Weight.LIKELY:
        found = [*found[: MOST - 1], _OTHERWISE]
    told = [step.format_map(ways) for step in dict.fromkeys(found)][:MOST]
    return [step[0].upper() + step[1:] if not step.startswith("docker_") else step for step in told]


def _ways(tools: Collection[str], name: str) -> dict[str, str]:
    ways = {"name": name}
    for way, (tool, arguments, command) in _TOOLS.items():
        ways[way] = (
            f"{tool}({arguments.format(name=name)})" if tool in tools else f"{_PERSON} {command.format(name=name)}"
        )
    create = "docker_create_container" in tools
    ways["create"] = "docker_create_container makes a new one" if create else "a person makes a new one"
    for way, tool, otherwise in (
        ("pull", "docker_pull_image", "docker pull, by a person"),
        ("build", "docker_build_image", "docker build, by a person"),
        ("image", "docker_inspect_image", "docker image inspect, by a person"),
        ("version", "docker_version", "docker version, by a person"),
        ("network_create", "docker_create_network", "docker network create, by a person"),
    ):
        ways[way] = tool if tool in tools else otherwise
    for way, words in (("exec_df", ("df", "-h")), ("exec_ls", ("ls", "-ln", "PATH")), ("exec_probe", ("PROBE",))):
        listed = ", ".join(f'"{word}"' for word in words)
        ways[way] = (
            f'docker_exec_command(container_id="{name}", command=[{listed}]) while it runs'
            if "docker_exec_command" in tools
            else f"{_PERSON} docker exec {name} {' '.join(words)} while it runs"
        )
    return ways
