"""The commands: what each answers to its caller, and what it has the centre do."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from testbed.pjm import listing, options
from testbed.pjm.centre import Centre
from testbed.pjm.job import OVER, Job
from testbed.pjm.said import RefusedError, Said
from testbed.pjm.switches import Group, Switches


@dataclass(frozen=True)
class Caller:
    """Whose command it is, by the kernel's word, and what it brought along."""

    user: str
    uid: int
    gid: int
    group: str
    groups: frozenset[str]
    home: str
    folder: str
    environment: Mapping[str, str]
    script: str
    """What came on stdin."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What arguments hold that are files which the account can read."""


OUTAGES = {"90": "PJM daemon is not present.", "91": "Internal error: 5."}

Verb = Callable[["Verbs", Caller, list[str], Said], None]


class Verbs:
    """All commands over one centre; `ip` tells a node's address."""

    def __init__(self, centre: Centre, ip: Callable[[str], str]) -> None:
        self.centre = centre
        self.ip = ip
        self.switches = Switches()
        self._outages = 0

    def answer(self, argv: list[str], caller: Caller, switches: Switches) -> Said:
        """What the command `argv` says to `caller`."""
        self.switches = switches
        said = Said()
        command, arguments = argv[0], argv[1:]
        if command not in VERBS:
            said.err, said.code = f"{command}: no such command\n", 127
            return said
        if self._out(command, caller, arguments, said):
            return said
        try:
            VERBS[command](self, caller, arguments, said)
        except RefusedError as error:
            said.error(command, error.number, error.text)
            if error.number == "01":
                said.err += f"Try `{command} --help` for more information.\n"
        return said

    def _out(self, command: str, caller: Caller, arguments: list[str], said: Said) -> bool:
        """Whether the command meets an outage."""
        if not self.switches.outage or command == "pjmadm":
            self._outages = 0
            return False
        self._outages += 1
        if self.switches.outages and self._outages > self.switches.outages:
            return False
        if self.switches.outage == "91" and command == "pjsub":
            submit(self, caller, arguments, Said())
        said.error(command, self.switches.outage, OUTAGES[self.switches.outage])
        return True

    def visible(self, caller: Caller, *, everybody: bool) -> list[Job]:
        """The jobs that the caller may see and asked for."""
        all_of_them = caller.uid == 0 or (everybody and self.switches.sees_all)
        return [job for job in self.centre.jobs.values() if all_of_them or job.uid == caller.uid]

    def own(self, caller: Caller, text: str) -> Job:
        """The caller's job that `text` names. Raises RefusedError."""
        if not text.isdecimal() or len(text) > 10:
            raise RefusedError("11", f"Invalid jobid: {text}.")
        job = self.centre.jobs.get(int(text))
        if job is None or caller.uid not in {job.uid, 0}:
            raise RefusedError("12", f"Job {text} does not exist.")
        return job


def submit(verbs: Verbs, caller: Caller, arguments: list[str], said: Said) -> None:
    """Pjsub. Raises RefusedError."""
    script, title = _script(caller, options.parse(arguments)[1])
    request = options.read(arguments, script)
    for message, text in request.warnings:
        said.err += f"[WARN] PJM 00{message} pjsub {text}\n"
    asked, switches = request.options, verbs.switches
    environment = dict(request.environment)
    if "all-env" in asked:
        if switches.environment == "refused":
            raise RefusedError("01", "Unknown option or no option argument: -X.")
        environment |= dict(caller.environment) if switches.environment == "works" else {}
    if "interact" in asked or "bulk" in asked or "step" in asked:
        raise RefusedError("70", "No execute permission.")
    if "group" in asked and asked["group"] not in caller.groups:
        raise RefusedError("71", f"Group not authorized to submit a job: {asked['group']}")
    name = request.resources.get("rscgrp", "")
    group = _permitted(name, caller, switches)
    elapse = request.elapse or group.elapse
    gpus, cores, nodes = request.number("gpu"), request.number("vnode-core"), request.number("node")
    _within("elapse", elapse, 1, group.elapse)
    _within("gpu", gpus, 0, group.gpus)
    _within("vnode-core", cores, 0, group.cores or cores)
    _within("node", nodes, 0, len(group.nodes))
    if switches.accept_limit and verbs.centre.living(caller.uid) >= switches.accept_limit:
        raise RefusedError("72", "Job exceeded the accept limit: ru-accept.")
    if switches.site_text:
        raise RefusedError("79", switches.site_text)
    number = verbs.centre.number()
    title = asked.get("name", title)
    files = {key: _filled(asked[key], number, title) for key in ("out", "err") if key in asked}
    output = files.get("out", f"{caller.folder.rstrip('/')}/{switches.output_name.format(name=title, job=number)}")
    error = output if "join" in asked else files.get("err", output.removesuffix(".out") + ".err")
    job = Job(
        number=number, name=title, user=caller.user, uid=caller.uid, gid=caller.gid, group=caller.group, rscgrp=name,
        script=script, folder=caller.folder, elapse=elapse, gpus=gpus, cores=cores, nodes=nodes, output=output, error=error,
        environment=environment, comment=asked.get("comment", ""),
        restart="norestart" not in asked and (switches.restart or "restart" in asked),
    )  # fmt: skip
    job.environment = {**environment, **_environment(job, caller)}
    verbs.centre.accept(job)
    if asked.get("print") == "jid":
        said.out += f"{number}\n"
    elif "print" not in asked:
        said.info("pjsub", "00", f"Job {number} submitted.")


def _script(caller: Caller, operands: list[str]) -> tuple[str, str]:
    """The script, and what its job is called: after its file, with a J before a digit, or STDIN."""
    if not operands:
        return caller.script, "STDIN"
    if len(operands) > 1:
        raise RefusedError("23", "Multiple script files specified.")
    if operands[0] not in caller.files:
        raise RefusedError("20", f"File open failed: {operands[0]} (2).")
    name = operands[0].rpartition("/")[2]
    return caller.files[operands[0]], (f"J{name}" if name[:1].isdigit() else name)[:63]


def _permitted(name: str, caller: Caller, switches: Switches) -> Group:
    if not name:
        raise RefusedError("69", "rscgrp in -L option is not specified.")
    group = switches.groups.get(name)
    if group is None:
        raise RefusedError("58", f"rscgrp={name} does not exist.")
    if group.disabled:
        raise RefusedError("59", f"rscgrp={name} is disabled.")
    if group.members and group.members not in caller.groups:
        raise RefusedError("70", "No execute permission.")
    return group


def _within(name: str, value: int, least: int, most: int) -> None:
    if value < least:
        raise RefusedError("54", f"{name}={value} is less than the lower limit ({least}).")
    if value > most:
        raise RefusedError("57", f"{name}={value} is greater than the upper limit ({most}).")


def _filled(path: str, number: int, name: str) -> str:
    for mark, value in (("%j", str(number)), ("%J", str(number)), ("%n", name)):
        path = path.replace(mark, value)
    return path


def _environment(job: Job, caller: Caller) -> dict[str, str]:
    """What PJM itself puts into a job's environment; the rest of the submitter's does not come along."""
    number = str(job.number)
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": caller.home, "USER": caller.user, "LOGNAME": caller.user,
        "SHELL": "/bin/bash", "PJM_JOBID": number, "PJM_SUBJOBID": number, "PJM_JOBNAME": job.name, "PJM_ENVIRONMENT": "BATCH",
        "PJM_JOBDIR": job.folder,
        "PJM_O_WORKDIR": job.folder, "PJM_O_HOST": "hub", "PJM_O_HOME": caller.home, "PJM_O_LOGNAME": caller.user,
        "PJM_RSCGRP": job.rscgrp, "PJM_ELAPSE_LIMIT": str(job.elapse), "PJM_STDOUT_PATH": job.output, "PJM_STDERR_PATH": job.error,
        "PJM_CUSTOM_RESOURCES": f"gpu/n={job.gpus}", "PJM_COMMENT": job.comment,
        **({"PJM_NODE": str(job.nodes)} if job.nodes else {"PJM_VNODE": "1"}),
    }  # fmt: skip


def stat(verbs: Verbs, caller: Caller, arguments: list[str], said: Said) -> None:
    """Pjstat. Raises RefusedError."""
    flags, values, operands = _stat_options(arguments)
    ids = listing.wanted(operands)
    now, switches = time.time(), verbs.switches
    if switches.loading:
        said.out += "[INFO] PJM 0281 pjstat Data loading......\n"
    past = "-H" in flags
    days = int(values.get("day", switches.history_days))
    jobs = [
        job
        for job in verbs.visible(caller, everybody="-A" in flags)
        if (not ids or any(job.number in each for each in ids))
        and _fits(job, values.get("--filter", ""), now)
        and ((past and job.state in OVER and now - job.ended <= days * 86_400) or (not past and _shown(job, now, switches)))
    ]
    if switches.wrapper:
        said.out += listing.of_a_wrapper(jobs)
        return
    if {"--summary", "--with-summary"} & flags:
        said.out += listing.summary(jobs)
    if "--summary" in flags:
        return
    if {"-s", "-S"} & flags and "--data" not in flags:
        said.out += "".join(listing.statistics(job, now) for job in jobs)
        return
    usual = list(listing.COLUMNS) if "-v" in flags else list(listing.PLAIN)
    items = listing.chosen(values["--choose"]) if "--choose" in values else usual
    if "--data" in flags:
        said.out += listing.data(jobs, items, now, switches, values.get("--delimiter", ","))
    else:
        said.out += listing.table(jobs, items, now, switches, padded=switches.padded)


def _shown(job: Job, now: float, switches: Switches) -> bool:
    return job.state not in OVER or now - job.changed < switches.linger_s


def _fits(job: Job, filters: str, now: float) -> bool:
    for part in filter(None, filters.split(",")):
        item, _, values = part.partition("=")
        if item in listing.COLUMNS and listing.cell(job, item, now) not in values.split("+"):
            return False
    return True


def _stat_options(arguments: list[str]) -> tuple[set[str], dict[str, str], list[str]]:
    flags: set[str] = set()
    values: dict[str, str] = {}
    operands: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name in {"--choose", "--filter", "--delimiter", "--sort"}:
            if not equals:
                if not left:
                    raise RefusedError("01", f"Unknown option or no option argument: {word}.")
                value = left.pop(0)
            values[name] = value
        elif word in {"-A", "-H", "-v", "-s", "-S", "-E", "--data", "--summary", "--with-summary", "--pattern=1"}:
            flags.add(word)
            if word == "-H" and left and left[0].partition("=")[0] in {"day", "start", "end", "period"}:
                key, _, value = left.pop(0).partition("=")
                if key == "day" and not (value.isdecimal() and 1 <= int(value) <= 365):
                    raise RefusedError("03", f"Unknown option argument: -H day={value}.")
                values[key] = value
        elif word.startswith("-"):
            raise RefusedError("01", f"Unknown option or no option argument: {word}.")
        else:
            operands.append(word)
    return flags, values, operands


def each_job(said: Said, command: str, numbers: list[str], own: Callable[[str], Job], act: Callable[[Job], None]) -> None:
    """Have `act` done to every job named; those that can't are told one by one. Raises RefusedError."""
    if not numbers:
        raise RefusedError("10", "Jobid is not specified.")
    for text in numbers:
        try:
            act(own(text))
        except RefusedError as error:
            said.error(command, error.number, error.text)


def _numbers(arguments: list[str]) -> list[str]:
    return [word for word in arguments if not word.startswith("-")]


def delete(verbs: Verbs, caller: Caller, arguments: list[str], said: Said) -> None:
    """Pjdel. Raises RefusedError."""
    enforced = "--enforce" in arguments
    unready = {"RNO", *OVER} | (set() if enforced else {"RNP", "RNE"})

    def act(job: Job) -> None:
        if job.state in OVER and verbs.switches.over_number == "0112":
            raise RefusedError("12", f"Job {job.number} does not exist.")
        if job.deleted and job.state not in OVER:
            said.info("pjdel", "19", f"Already accepted job {job.number}.")
            said.code = said.code or verbs.switches.again_code
        elif job.state in unready:
            raise RefusedError("13", f"Job {job.number} is not in the state that pjdel can be accepted.")
        else:
            verbs.centre.delete(job, verbs.switches)
            said.info("pjdel", "00", f"Accepted job {job.number}.")

    each_job(said, "pjdel", _numbers(arguments), lambda text: verbs.own(caller, text), act)


def hold(verbs: Verbs, caller: Caller, arguments: list[str], said: Said) -> None:
    """Pjhold. Raises RefusedError."""

    def act(job: Job) -> None:
        if not (job.state == "QUE" or (job.state == "RUN" and job.restart)):
            raise RefusedError("13", f"Job {job.number} is not in the state that pjhold can be accepted.")
        verbs.centre.hold(job, verbs.switches)
        said.info("pjhold", "00", f"Accepted job {job.number}.")

    each_job(said, "pjhold", _numbers(arguments), lambda text: verbs.own(caller, text), act)


def release(verbs: Verbs, caller: Caller, arguments: list[str], said: Said) -> None:
    """Pjrls. Raises RefusedError."""

    def act(job: Job) -> None:
        if job.state != "HLD":
            raise RefusedError("13", f"Job {job.number} status is not hold.")
        verbs.centre.release(job)
        said.info("pjrls", "00", f"Job {job.number} released.")

    each_job(said, "pjrls", _numbers(arguments), lambda text: verbs.own(caller, text), act)


def send(verbs: Verbs, caller: Caller, arguments: list[str], said: Said) -> None:
    """Pjsig. Raises RefusedError."""
    if arguments[:1] != ["-s"] or len(arguments) < 2:
        raise RefusedError("01", "Unknown option or no option argument: -s.")
    name = arguments[1].removeprefix("SIG")
    number = int(name) if name.isdecimal() else getattr(signal, f"SIG{name}", 0)
    if not number:
        raise RefusedError("04", f"Invalid option argument: -s {arguments[1]}.")

    def act(job: Job) -> None:
        if job.state != "RUN":
            raise RefusedError("13", f"Job {job.number} status is not running.")
        verbs.centre.signal(job, number)
        said.info("pjsig", "00", f"Accepted job {job.number}.")

    each_job(said, "pjsig", _numbers(arguments[2:]), lambda text: verbs.own(caller, text), act)


def administer(verbs: Verbs, caller: Caller, arguments: list[str], said: Said) -> None:
    """pjmadm, the emulator's own: `limit JOB SECONDS`, `break JOB`, `lose JOB`; root's."""
    if caller.uid != 0:
        said.err, said.code = "pjmadm: root's alone\n", 1
        return
    job = verbs.centre.jobs[int(arguments[1])]
    if arguments[0] == "limit":
        verbs.centre.limit(job, int(arguments[2]))
    else:
        {"break": verbs.centre.fail, "lose": verbs.centre.lose}[arguments[0]](job)


VERBS: dict[str, Verb] = {
    "pjsub": submit, "pjstat": stat, "pjdel": delete, "pjhold": hold, "pjrls": release, "pjsig": send, "pjmadm": administer,
}  # fmt: skip
