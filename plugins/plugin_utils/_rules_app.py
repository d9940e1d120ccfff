# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What is wrong with an app: its dependencies, environment, answers, units and ports. Pure."""

from __future__ import annotations

import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import scope
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import DEPLOY, end_of, finding
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._checks import is_local
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._rules_keepers import PM2_EXIT

# A port, and what mostly listens there.
WELL_KNOWN = {3306: "mariadb", 5432: "postgresql", 6379: "redis-server", 27017: "mongod", 5672: "rabbitmq-server"}
REFUSED_LOGIN = re.compile(
    r"Access denied for user|password authentication failed|authentication failed for user|WRONGPASS|NOAUTH|\b28P01\b"
    r"|\(1045,|ER_ACCESS_DENIED_ERROR|SCRAM authentication|bad auth|Authentication failed\b",
    re.I,
)
IN_USE = re.compile(r"address already in use|\bEADDRINUSE\b", re.I)
NO_VARIABLE = re.compile(
    r"KeyError: '([A-Z][A-Z0-9_]+)'"
    r"|\b([A-Z][A-Z0-9_]{2,})\b[^.]{0,40}\b(?:is not set|not set|is missing|is required|must be set|is not defined|undefined)\b"
    r"|[Mm]issing (?:required )?(?:environment )?variable:? ['\"]?([A-Z][A-Z0-9_]+)"
)
# What pydantic says of a setting that has no default: its name on one line, and this on the next.
NO_FIELD = re.compile(r"^\s+Field required\b")
EXCEPTION = re.compile(
    r"^\s*(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)\b(?::.*)?$|^ERROR:|^Error:|\bpanic:|Segmentation fault"
)


def dependencies(case):
    for app in case.apps:
        for probe in case.probes(app=app["name"], kind="requires", ok=False):
            host, _colon, _port = probe["url"].rpartition(":")
            service = WELL_KNOWN.get(probe["port"])
            here = is_local(host)
            yield finding(
                "dependency_down",
                "dependencies",
                "outage" if case.sick(app) else "risk",
                "%s needs %s%s, and it does not answer: %s."
                % (app["name"], probe["url"], " (%s)" % service if service else "", probe["cause"]),
                app,
                confidence=96,
                evidence=[probe["message"]] + [one["message"] for one in case.direct(app) if not one["ok"]][:1],
                show="ss -ltnp 'sport = :%d'" % probe["port"] if here else "nc -vz %s %d" % (host, probe["port"]),
                mend="systemctl start %s" % service if service and here else "start what listens on %s" % probe["url"],
            )
        lines = case.said(app, REFUSED_LOGIN) if case.sick(app) else []
        if lines:
            yield finding(
                "database_refuses",
                "dependencies",
                "outage",
                "The database refuses the user or password of %s." % app["name"],
                app,
                confidence=93,
                evidence=lines,
                show="journalctl -u '%s@*' -n 50" % app["name"],
                mend="correct the password in webapp_apps (env), or in the database; then: " + DEPLOY,
            )


def environment(case):
    for app in case.apps:
        if not app["local"] or not app["services"]:
            continue
        told = case.about(app).get("environment") or {}
        unit = (case.live(app) or [{"name": app["name"]}])[0]["name"]
        common = dict(
            show="systemctl show -p EnvironmentFiles %s; grep -c . %s/current/env" % (unit, app["root"]),
            mend="set it in webapp_apps[%s].env, then: %s" % (app["name"], DEPLOY),
        )
        named = set()
        for name in app["required_env"]:
            states = [told[name]] if name in told else ["missing"] if told else []
            for each in case.live(app):
                # A process's own is what it runs with, and nothing but what it was started with.
                states += [
                    one["environment"].get(name, "missing")
                    for one in case.processes(each["name"])
                    if one["environment"]
                ][:1]
            worst = "missing" if "missing" in states else "empty" if "empty" in states else None
            if worst:
                named.add(name)
                yield finding(
                    "env_" + worst,
                    "health",
                    "outage" if case.sick(app) else "risk",
                    "%s is %s in the environment of %s, which requires it." % (name, worst, app["name"]),
                    app,
                    confidence=94,
                    evidence=["%s/current/env: %s" % (app["root"], told.get(name, "missing"))]
                    + case.said(app, re.compile(re.escape(name))),
                    **common,
                )
        if case.sick(app):
            for name, line in _missed(case, app):
                if name not in named and told.get(name) != "set":
                    named.add(name)
                    yield finding(
                        "env_" + ("empty" if told.get(name) == "empty" else "missing"),
                        "health",
                        "outage",
                        "%s does without %s, and can't." % (app["name"], name),
                        app,
                        confidence=88,
                        evidence=[line],
                        **common,
                    )


def _missed(case, app):
    """(variable, the line that says so) for each that the app says it misses."""
    for line in case.said(app, NO_VARIABLE):
        yield "".join(group or "" for group in NO_VARIABLE.search(line).groups()), line
    lines = case.journal(app)
    for before, line in zip(lines, lines[1:]):
        if NO_FIELD.search(line) and re.match(r"^[A-Za-z_]\w*$", before):
            yield before.upper(), "%s: %s" % (before, line.strip())


def build(case):
    for app in case.apps:
        if app["runtime"] == "uvicorn":  # though a front end may lie beside it in the source
            continue
        found = case.about(app).get("build_id")
        said = case.said(app, re.compile(r"Could not find a production build|BUILD_ID")) if case.sick(app) else []
        if (found and not found["there"]) or said:
            yield finding(
                "build_id_missing",
                "health",
                "outage" if case.sick(app) else "risk",
                "%s has no production build: .next/BUILD_ID is missing." % app["name"],
                app,
                confidence=96,
                evidence=(["%s is not there" % found["path"]] if found else []) + said,
                show="ls -l %s" % (found["path"] if found else app["root"] + "/current"),
                mend="put `npm run build` into webapp_apps[%s].build, then: %s" % (app["name"], DEPLOY),
            )


def releases(case):
    for app in case.apps:
        found = case.about(app)
        if not app["local"] or not app["root"] or "release" not in found:
            continue
        if found["release"] is None or found.get("files") is False:
            place = app["files"] or app["root"] + "/current"
            yield finding(
                "release_missing",
                "unit",
                "outage",
                "Nothing of %s is deployed on this host: %s is not there." % (app["name"], place),
                app,
                confidence=97,
                evidence=["%s is not there" % place, "live release: %s" % (found["release"] or "none")],
                show="ls -l %s %s/releases" % (app["root"], app["root"]),
            )


def answers(case):
    """What the app's own answers tell: hung, or not well."""
    for app in case.apps:
        if not app["local"]:
            continue
        for probe in case.direct(app):
            processes = case.processes(probe["unit"]) if probe["unit"] else case.serving(probe["port"])
            name = probe["unit"] or app["name"]
            # Of an app that has no unit of ours it is told by who listens.
            stopped = [one for one in processes if one["state"] in ("T", "t")] or [
                one
                for one in case.listeners(probe["port"])
                if not probe["unit"] and (one.get("state") or "") in ("T", "t")
            ]
            if stopped:
                pids = " ".join(str(one["pid"]) for one in stopped)
                child = stopped[0].get("kind") == "pm2 child"
                yield finding(
                    "pm2_child_stopped" if child else "process_stopped",
                    "unit" if child else "listener",
                    "outage" if not probe["ok"] else "degraded",
                    "%s is stopped by a signal (SIGSTOP)%s: process %s."
                    % (name, ", and PM2 still says online" if child else ", and its unit still says active", pids),
                    app,
                    confidence=97,
                    evidence=[
                        "pid %d: state %s, %s" % (one["pid"], one["state"], one.get("title") or one["exe"])
                        for one in stopped
                    ]
                    + [probe["message"]],
                    show="ps -o pid,stat,etime,cmd -p %s" % pids.replace(" ", ","),
                    mend="kill -CONT %s   # or: systemctl restart %s" % (pids, name),
                )
            if probe["ok"]:
                continue
            if probe["cause"] in ("timed_out", "reset"):
                waits = [one for one in processes if one["state"] == "D"]
                yield finding(
                    "hung",
                    "health",
                    "outage",
                    "%s accepts connections on port %d and %s."
                    % (name, probe["port"], "does not answer" if probe["cause"] == "timed_out" else "cuts them"),
                    app,
                    confidence=70,
                    evidence=[probe["message"]] + ["pid %d waits for a disk (state D)" % one["pid"] for one in waits],
                    show="curl -sim 5 %s; ps -o pid,stat,wchan:20,cmd -C python3,node" % probe["url"],
                    mend="systemctl restart %s" % name
                    if probe["unit"]
                    else "restart what listens on port %d" % probe["port"],
                )
            elif probe["cause"] in ("bad_status", "bad_body", "not_http"):
                yield finding(
                    "unhealthy",
                    "health",
                    "outage",
                    "%s answers on port %d that it is not well: %s" % (name, probe["port"], probe["message"]),
                    app,
                    confidence=60,
                    evidence=[probe["message"]]
                    + ([probe["excerpt"]] if probe["excerpt"] else [])
                    + case.last(probe["unit"]),
                    show="curl -si %s" % probe["url"],
                    mend="journalctl -u %s -n 50   # the app says why" % name
                    if probe["unit"]
                    else "look into the app's own log",
                )
        for probe in case.probes(app=app["name"], via="direct", kind="websocket", ok=False):
            if not case.sick(app):
                yield finding(
                    "websocket_refused",
                    "health",
                    "degraded",
                    "%s is healthy, and refuses the WebSocket %s." % (app["name"], app["websocket"]),
                    app,
                    confidence=75,
                    evidence=[probe["message"]],
                    show="journalctl -u '%s@*' -n 50" % app["name"],
                    mend="has the app a WebSocket at that path, and its server a WebSocket library (websockets, ws)?",
                )


def units(case):
    for app in case.apps:
        for one in case.live(app):
            unit = case.unit(one["name"])
            if not unit:
                continue
            name = one["name"]
            common = dict(show="systemctl status %s; journalctl -u %s -n 50" % (name, name))
            told = ["%s: %s (%s), result %s" % (name, unit["active"], unit["sub"], unit["result"])]
            effect = "outage" if case.dead(app) else "degraded"
            if unit["load"] in ("not-found", "masked", "bad-setting", "error"):
                yield finding(
                    "unit_missing",
                    "unit",
                    effect,
                    "systemd has no unit %s: %s." % (name, unit["load"]),
                    app,
                    confidence=97,
                    evidence=told,
                    **common,
                )
                continue
            looping = unit["sub"] == "auto-restart" or unit["result"] == "start-limit-hit"
            # Once restarted it may just be up, and about to fall again.
            # PM2 starts its own processes again, and the unit stays up.
            starts = unit["restarts"] + sum(1 for line in case.last(name, 40) if PM2_EXIT.search(line))
            looping = looping or (starts > 1 and unit["active"] != "inactive" and not case.well(app, one["port"]))
            looping = looping or case.gate.get("unit") == name and case.gate["cause"] == "crashed"
            why = [line for line in case.last(name, 40) if EXCEPTION.search(line)][-1:]
            if looping:
                yield finding(
                    "crash_loop",
                    "unit",
                    effect,
                    "%s crashes%s%s"
                    % (
                        name,
                        " and is started again, %d times so far" % starts if starts else "",
                        ": %s" % why[0].strip() if why else ".",
                    ),
                    app,
                    confidence=92,
                    evidence=told + ["%s: %s" % (name, unit["exit"])] + (case.last(name, 6)),
                    mend="mend what the last lines say, then: %s" % DEPLOY,
                    **common,
                )
            elif unit["active"] == "failed":
                yield finding(
                    "service_failed",
                    "unit",
                    effect,
                    "%s has failed: %s%s" % (name, unit["exit"], ": %s" % why[0].strip() if why else "."),
                    app,
                    confidence=90,
                    evidence=told + case.last(name, 6),
                    mend="mend what the last lines say, then: systemctl restart %s" % name,
                    **common,
                )
            elif unit["active"] in ("inactive", "deactivating"):
                yield finding(
                    "service_stopped",
                    "unit",
                    effect,
                    "%s is stopped: somebody, or something, stopped it." % name,
                    app,
                    confidence=95,
                    evidence=told + case.last(name),
                    mend="systemctl start %s" % name,
                    **common,
                )
            if unit["active"] == "active" and unit["enabled"] in ("disabled", "masked"):
                yield finding(
                    "disabled_at_boot",
                    "unit",
                    "risk",
                    "%s runs, and will not start at the next boot: it is %s." % (name, unit["enabled"]),
                    app,
                    confidence=98,
                    evidence=["%s: UnitFileState=%s" % (name, unit["enabled"])],
                    show="systemctl is-enabled %s" % name,
                    mend="systemctl enable %s" % name,
                )
            if unit["stale"]:
                yield finding(
                    "unit_not_reloaded",
                    "unit",
                    "risk",
                    "%s was changed on disk, and systemd has not read it." % name,
                    app,
                    evidence=["%s: NeedDaemonReload=yes" % name] + unit["files"],
                    show="systemctl cat %s" % name,
                    mend="systemctl daemon-reload && systemctl restart %s" % name,
                )


def held(case):
    for app in case.apps:
        # A gate is part of a deploy, which holds the lock itself.
        lock = None if case.gate else case.about(app).get("lock")
        down = [one["name"] for one in case.live(app) if (case.unit(one["name"]) or {}).get("active") == "inactive"]
        if lock and (down or lock["since"] < case.evidence["now"] - 3600):
            minutes = (case.evidence["now"] - lock["since"]) / 60
            yield finding(
                "held_by_deploy",
                "unit",
                "outage" if down else "risk",
                "%s is held by a deploy of %s on %s, for %d minutes."
                % (app["name"], lock["user"], lock["host"], minutes),
                app,
                confidence=96 if down else 70,
                evidence=["/run/gatehouse/deploy/%s.lock: release %s" % (app["name"], lock["release"])]
                + ["%s is stopped" % name for name in down],
                show="cat /run/gatehouse/deploy/%s.lock" % app["name"],
                mend="wait for it; when you know that it has ended: ansible-playbook gatehouse.webapp.site -e webapp_break_lock=true",
            )
        out = case.about(app).get("out") or []
        if out and not lock and not case.gate:
            yield finding(
                "out_of_rotation",
                "upstream",
                "risk",
                "nginx leaves out %s of %s, and no deploy is under way that would put it back."
                % (", ".join(app["rotation"][path] for path in out), app["name"]),
                app,
                confidence=85,
                evidence=["%s is there" % path for path in out],
                show="ls -l %s" % " ".join(out),
                mend=DEPLOY,
            )


def ports(case):
    for app in case.apps:
        for one in case.live(app) if "listeners" in case.evidence else []:
            port, name = one["port"], one["name"]
            bound = case.listeners(port)
            strangers = [each for each in bound if name and each["unit"] != name]
            show = "ss -ltnp 'sport = :%d'" % port
            if strangers and not any(each["unit"] == name for each in bound):
                who = strangers[0]
                yield finding(
                    "port_taken",
                    "listener",
                    "outage",
                    "Port %d of %s is held by a stranger: pid %d (%s, user %s, %s)."
                    % (port, name, who["pid"], who["exe"], who["user"], who["unit"] or "no unit"),
                    app,
                    confidence=98,
                    evidence=["%s:%d is held by pid %d" % (each["address"], port, each["pid"]) for each in strangers]
                    + case.said(app, IN_USE),
                    show=show,
                    mend="%s && systemctl restart %s" % (end_of(who), name),
                )
                continue
            if not bound:
                yield from _unbound(case, app, one, show)
                continue
            for_others = app["apart"] or app["expose"]
            addresses = [each["address"] for each in bound]
            if for_others and scope(addresses) == "loopback":
                yield finding(
                    "loopback_only",
                    "listener",
                    "outage",
                    "%s listens on %s alone, so the proxy on another host does not reach it."
                    % (name or app["name"], ", ".join(sorted(set(addresses)))),
                    app,
                    confidence=97,
                    evidence=["port %d is bound to %s" % (port, address) for address in addresses],
                    show=show,
                    mend="set webapp_apps[%s].listen to the host's address, then: %s" % (app["name"], DEPLOY),
                )


def _unbound(case, app, one, show):
    port, name = one["port"], one["name"]
    strays = [stray for stray in case.get("strays", []) if stray["app"] == app["name"]]
    own = [each for each in case.get("listeners", []) if name and each["unit"] == name]
    well = [stray for stray in strays if stray["ok"] and stray["unit"] == (name or stray["unit"])]
    elsewhere = well[0]["port"] if well else own[0]["port"] if own else None
    if elsewhere:
        yield finding(
            "wrong_port",
            "upstream",
            "outage",
            "%s listens on port %d, and %s expects it on %d."
            % (name or app["name"], elsewhere, "nginx" if case.routes(app) else "the model", port),
            app,
            confidence=96 if well else 88,
            evidence=["port %d: nothing listens" % port]
            + ["port %d: %s" % (elsewhere, well[0]["message"] if well else "bound by %s" % name)],
            show="ss -ltnp | grep -E ':(%d|%d) '" % (port, elsewhere),
            mend="let the app listen on $PORT, or say port: %d in webapp_apps[%s]; then: %s"
            % (elsewhere, app["name"], DEPLOY),
        )
        return
    unit = case.unit(name) if name else None
    if name is None or (unit and unit["active"] == "active"):
        yield finding(
            "not_listening",
            "listener",
            "outage" if case.dead(app) else "degraded",
            "%s opens no port: nothing listens on %d." % (name, port)
            if name
            else "Nothing listens on port %d, where %s should." % (port, app["name"]),
            app,
            confidence=65 if name else 90,
            evidence=["port %d: nothing listens" % port] + case.last(name),
            show=show,
            mend="journalctl -u %s -n 50" % name if name else "start %s" % app["name"],
        )
