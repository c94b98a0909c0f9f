"""What stands in front of a script: variables, `python`, a launcher of torch and its group.

NODE_RANK=1 python3 -m torch.distributed.launch --nproc_per_node=4 ... ./run_mlm.py FLAGS...
torchrun --standalone --nproc_per_node 2 run_bert.py FLAGS...
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmtrainer.compat.flags import Said, Values, ignored, read_flags, renamed, table
from lmtrainer.compat.translation import Group, Note
from lmtrainer.config.mistakes import Mistake, MistakesError

_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)
_PYTHON = re.compile(r"python(\d(\.\d+)?)?")
_LAUNCHERS = ("torch.distributed.launch", "torch.distributed.run")
_PYTHON_SWITCHES = ("-u", "-O", "-B", "-P", "-E", "-s", "-I")


LAUNCHER = table(
    (
        renamed("nproc_per_node", "text", "ranks of this node"),
        renamed("nnodes", "text", "nodes of the group"),
        renamed("node_rank", "text", "this node"),
        renamed("master_addr", "text", "where node 0 is found"),
        renamed("master_port", "text", "its port"),
        *ignored("ranks always hear by environment", "use_env", kind="switch"),
        *ignored("one node takes a free port", "standalone", kind="switch"),
        *ignored(
            "our own launcher forms the group",
            "rdzv_backend",
            "rdzv_endpoint",
            "rdzv_id",
            "rdzv_conf",
            "max_restarts",
        ),
        *ignored(
            "our own launcher watches the ranks",
            "monitor_interval",
            "start_method",
            "role",
            "log_dir",
            "tee",
            "redirects",
        ),
    )
)


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """A command line, taken apart. `kit` is what stood before a colon in front of the script."""

    kit: str
    script: str
    """Name of the script without its folder."""
    path: str
    """As it was typed."""
    arguments: tuple[str, ...]
    group: Group
    notes: tuple[Note, ...]


def take_apart(words: Sequence[str], environment: Mapping[str, str]) -> CommandLine:
    """Find the script, its arguments and its group; MistakesError where there is none."""
    said = Said()
    rest = _without_blanks(words, said)
    told = dict(environment)
    while rest and (match := _ASSIGNMENT.fullmatch(rest[0])):
        told[match["name"]] = match["value"]
        rest = rest[1:]
    rest, launcher = _launcher(rest)
    if not rest:
        rule = "names no script"
        raise MistakesError([Mistake("command line", "", rule, "such as run_mlm.py --help")])
    values = read_flags(LAUNCHER, launcher or ())
    group = _group(values, told if launcher is not None else {}, said)
    kit, _, script = rest[0].rpartition(":")
    return CommandLine(
        kit=kit,
        script=posixpath.basename(script),
        path=script,
        arguments=tuple(rest[1:]),
        group=group,
        notes=said.end(values),
    )


def _without_blanks(words: Sequence[str], said: Said) -> list[str]:
    """Without words of nothing but white space, which `\\ ` at the end of a line leaves, and
    without an `echo` that a here-document put before the command."""
    kept = [word for word in words if word.strip()]
    if len(kept) < len(words):
        text = "dropped: a blank word; a backslash with a space after it does not continue a line"
        said.more.append(Note('" "', "made right", text))
    if kept and kept[0] == "echo":
        begin = next((i for i, word in enumerate(kept) if _PYTHON.fullmatch(word)), 0)
        said.more.append(Note("echo", "made right", "dropped: words before python"))
        kept = kept[begin:]
    return kept


def _launcher(words: list[str]) -> tuple[list[str], list[str] | None]:
    """From the script on, and the launcher's own words, None without one."""
    if words and posixpath.basename(words[0]) == "torchrun":
        return _after_flags(words[1:])
    if not words or not _PYTHON.fullmatch(posixpath.basename(words[0])):
        return words, None
    words = words[1:]
    while words and words[0] in _PYTHON_SWITCHES:
        words = words[1:]
    if words[:1] == ["-m"] and len(words) > 1 and words[1] in _LAUNCHERS:
        return _after_flags(words[2:])
    return words, None


def _after_flags(words: list[str]) -> tuple[list[str], list[str]]:
    """Split behind the launcher's flags: the script is the first word that belongs to none."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        name = words[at].lstrip("-").replace("-", "_")
        flag = LAUNCHER.get(name)
        alone = "=" in name or flag is None or flag.kind == "switch"
        at += 1 if alone else 2
    return words[at:], words[:at]


_VARIABLES = {
    "nproc_per_node": ("NPROC_PER_NODE", "N_GPUS_PER_NODE"),
    "nnodes": ("NNODES", "N_NODES"),
    "node_rank": ("NODE_RANK",),
    "master_addr": ("MASTER_ADDR",),
    "master_port": ("MASTER_PORT",),
}
"""Variables that say what a flag of the launcher leaves out."""

DEFAULT_PORT = 29500
"""That of torch.distributed."""


def _group(values: Values, environment: Mapping[str, str], said: Said) -> Group:
    found = {}
    for name, variables in _VARIABLES.items():
        told = [environment[variable] for variable in variables if environment.get(variable)]
        found[name] = values[name] or (told[0] if told else None)
    nodes = _count("nnodes", (found["nnodes"] or "1").split(":")[0], 1, said)
    rank = _count("node_rank", found["node_rank"] or "0", 0, said)
    if rank >= nodes:
        said.wrong("node_rank", rank, f"must be below --nnodes {nodes}", "ranks begin at 0")
    address = found["master_addr"]
    if nodes > 1 and not address:
        way_out = "name the host of node 0, or set MASTER_ADDR"
        said.wrong("master_addr", None, f"required for {nodes} nodes", way_out)
    port = _count("master_port", found["master_port"] or str(DEFAULT_PORT), 0, said)
    return Group(
        nodes=nodes,
        node_rank=min(rank, nodes - 1),
        processes=_processes(found["nproc_per_node"] or "1", said),
        master_addr=(address or "127.0.0.1") if nodes > 1 else "127.0.0.1",
        master_port=port if nodes > 1 else 0,
    )


def _processes(text: str, said: Said) -> int:
    if text in ("gpu", "auto", "cpu"):
        rule, way_out = "must be a number", "give the number of GPUs of a node"
        said.wrong("nproc_per_node", text, rule, way_out)
        return 1
    return _count("nproc_per_node", text, 1, said)


def _count(name: str, text: str, least: int, said: Said) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        said.wrong(name, text, f"must be a whole number >= {least}")
        return least
    return int(text)
