# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Which way a release goes live on this host, as it stands now: in place, or beside the live one."""

from __future__ import annotations

from ansible_collections.gatehouse.webapp.plugins.module_utils._blue_green import BlueGreen
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import HTTP
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import Service
from ansible_collections.gatehouse.webapp.plugins.module_utils._restart import GatedRestart


def choose(strategy, blue, green, rotation, proxy, gate, own_gate=False, activation=None, instead_of=None, **options):
    """The story to be told: a GatedRestart or a BlueGreen.

    blue, green: the app's two sets of instances, lists of Service; green is empty for the strategy `restart`.
    rotation: a Rotation or None.   proxy: {url, host}, to be asked after a switch, or None.   options: as GatedServices takes.
    instead_of: the name that the app had before, whose instances may serve from its ports until nginx leads to these.
    own_gate: measure the release by the gate that it passed last, where it has passed one, in place of `gate`.
    """
    if own_gate:
        gate = activation.passed(activation.target).get("gate") or gate
    options.update(activation=activation, gate=gate)
    follows = rotation.follows() if rotation else None
    live = activation.live() if activation else None
    if strategy == "blue_green" and instead_of and _runs(instead_of, blue, options["manager"]):
        # Also where a run was cut short before the former instances went.
        _check_sets(blue, green)
        return GatedRestart(services=green, green=True, **options)
    if strategy == "restart" or not live:
        return GatedRestart(services=blue, rotation=rotation if follows == "parts" else None, **options)

    _check_sets(blue, green)
    on_green = activation.is_green(live)
    serving, beside = (green, blue) if on_green else (blue, green)
    if activation.is_live() and options["only_stale"]:
        # Nothing is to be switched. What a killed deploy left beside it goes.
        return GatedRestart(services=serving, green=on_green, retiring=beside, **options)
    if follows != "green":
        return GatedRestart(services=blue, retiring=green, **options)

    former = [Service(item["name"], item["port"]) for item in activation.passed(live).get("services", [])]
    if former and former[0].port != serving[0].port:
        # The app has moved to other ports, which the proxy does not know yet: the present ones go on serving until it
        # does, and whoever changes the proxy takes them away.
        _check_overlap(former, serving)
        return BlueGreen(former, services=serving, green=on_green, **options)
    return BlueGreen(
        serving,
        proxy=proxy and _question(gate, proxy),
        services=beside,
        green=not on_green,
        retiring=serving,
        **options,
    )


def _runs(app, services, manager):
    """Whether instances of another app have any of these ports."""
    units = ["%s@%d.service" % (app, service.port) for service in services]
    return any(manager.state(unit).active in ("active", "activating", "reloading") for unit in units)


def _question(gate, proxy):
    """What the gate asks by HTTP, asked through the proxy."""
    own = gate["http"] or {name: entry.get("default") for name, entry in HTTP.items()}
    return dict(own, url=proxy["url"], host=proxy["host"], server_name=proxy["host"], validate_certs=False)


def _check_sets(blue, green):
    taken = {service.port for service in blue} & {service.port for service in green}
    if len(blue) != len(green) or taken or None in [service.port for service in blue + green]:
        raise GatehouseError(
            "blue/green needs a second set of as many instances, each on a port of its own",
            cause="bad_input",
            hint="green: [{name: chat-api@18000.service, port: 18000}] beside instances: [{name: chat-api@8000.service, port: 8000}]",
        )


def _check_overlap(former, services):
    ports = {service.port for service in former}
    both = sorted(ports & {service.port for service in services})
    if both:
        raise GatehouseError(
            "the app is served on port %s now, and its new ports overlap with those it has: both can't run side by side"
            % ", ".join(str(port) for port in both),
            cause="bad_input",
            hint="move it to ports that are all free, for example port: %d" % (max(ports) + 10),
        )
