"""What of a container's surroundings a service names: ports, volumes, networks."""

from typing import Any

from mcp_docker.prompts.compose.original import PRESET_NETWORKS, Original, key

_PLAIN_MODES = ("z", "Z")


def ports(original: Original) -> dict[str, list[str]]:
    """`ports`, and `expose` for those that the image does not name."""
    host, config = original.host, original.config
    # a port without bindings is not published (Engine API, HostConfig.PortBindings)
    bound = {inner: bindings for inner, bindings in (host.get("PortBindings") or {}).items() if bindings}
    exposed = config.get("ExposedPorts") or {}
    if str(host.get("NetworkMode") or "").startswith(("host", "container:")):
        return {}
    found = [_port(inner, binding) for inner, bindings in bound.items() for binding in _merged(bindings)]
    if host.get("PublishAllPorts"):
        found += [_port(inner, {}) for inner in exposed if inner not in bound]
    published = set(bound) | (set(exposed) if host.get("PublishAllPorts") else set())
    others = [
        each for each in exposed if each not in published and each not in (original.defaults.get("ExposedPorts") or {})
    ]
    return {"ports": list(dict.fromkeys(found)), "expose": others}


def _merged(bindings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bindings in which one for all IPv4 addresses and one for all IPv6 addresses are the one that Compose writes."""
    places = {(binding.get("HostIp") or "", str(binding.get("HostPort") or "")) for binding in bindings}
    both = {port for address, port in places if address == "0.0.0.0" and ("::", port) in places}  # noqa: S104
    return [
        binding | {"HostIp": ""}
        if binding.get("HostIp") in ("0.0.0.0", "::") and str(binding.get("HostPort") or "") in both  # noqa: S104
        else binding
        for binding in bindings
    ]


def _port(inner: str, binding: dict[str, Any]) -> str:
    address, outer = binding.get("HostIp") or "", str(binding.get("HostPort") or "")
    address = f"[{address}]:" if ":" in address else f"{address}:" if address else ""
    outer = "" if outer == "0" else outer
    between = ":" if outer or address else ""
    return f"{address}{outer}{between}{inner.removesuffix('/tcp')}"


def volumes(original: Original) -> tuple[list[Any], dict[str, Any], list[str]]:
    """`volumes` of the service, those at the top, and the paths at which volumes without a name are."""
    asked = {mount.get("Target"): mount for mount in original.host.get("Mounts") or []}
    entries: list[Any] = []
    anonymous: list[str] = []
    in_tmpfs = original.host.get("Tmpfs") or {}
    mounts = sorted(original.found.get("Mounts") or [], key=lambda mount: str(mount.get("Destination")))
    names = [str(mount.get("Name") or "") for mount in mounts if mount.get("Type") == "volume"]
    # first, so that no volume without a name gets the key of one that has it
    declared: dict[str, Any] = {name: {"external": True} for name in names if not unnamed(name)}
    for mount in mounts:
        target, kind = str(mount.get("Destination") or ""), mount.get("Type") or "bind"
        if kind == "tmpfs" and target in in_tmpfs:
            continue
        source = str(mount.get("Source") or "")
        if kind == "volume":
            name = str(mount.get("Name") or "")
            if unnamed(name):
                anonymous.append(target)
                if original.host.get("AutoRemove"):  # it goes with the container
                    entries += [target] if target not in (original.defaults.get("Volumes") or {}) else []
                    continue
                source = key(target.rpartition("/")[2], declared)
                declared[source] = {"name": name, "external": True}
            else:
                source = name
        entries.append(_mount(kind, source, target, mount, asked.get(target) or {}))
    return entries, declared, anonymous


def unnamed(volume: str) -> bool:
    """Whether the engine drew the volume's name by lot."""
    return len(volume) == 64 and not volume.strip("0123456789abcdef")


def _mount(kind: str, source: str, target: str, mount: dict[str, Any], asked: dict[str, Any]) -> Any:
    """The short form where it says everything."""
    modes = str(mount.get("Mode") or "").split(",")
    # the engine says z of every volume
    relabelled = [mode for mode in modes if mode in _PLAIN_MODES and kind == "bind"]
    options = _options(kind, mount, asked)
    if kind in ("bind", "volume") and not options and ":" not in source + target:
        suffix = ",".join(["ro"] * (mount.get("RW") is False) + relabelled)
        # a source that is asked for as a mount is not made when it is missing
        if kind == "volume" or not asked:
            return f"{source}:{target}" + (f":{suffix}" if suffix else "")
    if relabelled:
        options["selinux"] = relabelled[0]
    if kind == "bind" and asked and not (asked.get("BindOptions") or {}).get("CreateMountpoint"):
        options["create_host_path"] = False
    long: dict[str, Any] = {"type": kind}
    if kind != "tmpfs":
        long["source"] = source
    long["target"] = target
    if mount.get("RW") is False:
        long["read_only"] = True
    return long | ({kind: options} if options else {})


def _options(kind: str, mount: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    bind, volume, tmpfs = (asked.get(f"{name}Options") or {} for name in ("Bind", "Volume", "Tmpfs"))
    image = asked.get("ImageOptions") or {}
    options: dict[str, Any]
    match kind:
        case "bind":
            propagation = bind.get("Propagation") or mount.get("Propagation") or ""
            options = {"propagation": propagation if propagation != "rprivate" else ""}
            if bind.get("NonRecursive"):
                options["recursive"] = "disabled"
            elif bind.get("ReadOnlyForceRecursive"):
                options["recursive"] = "readonly"
            elif bind.get("ReadOnlyNonRecursive"):
                options["recursive"] = "writable"
        case "volume":
            options = {"nocopy": volume.get("NoCopy"), "subpath": volume.get("Subpath")}
            if "nocopy" in str(mount.get("Mode") or "").split(","):
                options["nocopy"] = True
        case "tmpfs":
            options = {"size": tmpfs.get("SizeBytes"), "mode": tmpfs.get("Mode")}
        case _:
            options = {"subpath": image.get("Subpath")}
    return {name: value for name, value in options.items() if value}


def networks(original: Original) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the service says of its networks, and the networks at the top."""
    mode = str(original.host.get("NetworkMode") or "")
    if original.config.get("NetworkDisabled"):
        mode = "none"
    if mode.startswith("container:"):
        other = mode.removeprefix("container:")
        return {"network_mode": f"container:{original.names.get(other, other)}"}, {}
    places = original.attached
    if not places:
        return {"network_mode": "bridge" if mode in PRESET_NETWORKS or not mode else mode}, {}
    declared: dict[str, Any] = {}
    entries: dict[str, Any] = {}
    for name, place in places.items():
        entry = key(name, declared)
        declared[entry] = ({"name": name} if entry != name else {}) | (
            {} if name in original.gone else {"external": True}
        )
        entries[entry] = _place(original, place)
    plain = not any(entries.values())
    return {"networks": list(entries) if plain else {name: place or None for name, place in entries.items()}}, {
        name: declaration or None for name, declaration in declared.items()
    }


def _place(original: Original, place: dict[str, Any]) -> dict[str, Any]:
    asked = place.get("IPAMConfig") or {}
    automatic = {original.name, original.service, original.id, original.id[:12]}
    chosen = {
        "aliases": [alias for alias in place.get("Aliases") or [] if alias not in automatic],
        "ipv4_address": asked.get("IPv4Address"),
        "ipv6_address": asked.get("IPv6Address"),
        "link_local_ips": asked.get("LinkLocalIPs"),
        "driver_opts": place.get("DriverOpts"),
        "gw_priority": place.get("GwPriority"),
    }
    return {name: value for name, value in chosen.items() if value}
