# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The causes that a diagnosis can name, and what follows from what."""

from __future__ import annotations

LINKS = (
    "dns",
    "tcp",
    "tls",
    "nginx",
    "config",
    "route",
    "upstream",
    "listener",
    "unit",
    "health",
    "dependencies",
    "resources",
)
# Of an app that no site leads to.
LOCAL_LINKS = LINKS[LINKS.index("listener") :]
# Of an app that is hosted elsewhere; and of a site that leads to one.
HOSTED_LINKS = ("dns", "tcp", "tls", "health")
TO_HOSTED_LINKS = tuple(link for link in LINKS if link not in ("listener", "unit", "dependencies"))

# outage: it does not work.   degraded: some requests, or some clients, are refused.   risk: it works, and will not for long.
EFFECTS = ("outage", "degraded", "risk")

CAUSES = {
    "dns_missing": "A server name is not in DNS",
    "dns_wrong": "A server name leads to another host",
    "ufw_closed": "UFW is closed",
    "firewall_off": "The firewall is set up, and does not run",
    "firewall_not_at_boot": "The firewall is not started at boot",
    "packet_filter": "A rule of the packet filter is in the way",
    "dropped_in_front": "Something in front of the host stops connections",
    "nginx_loopback_only": "nginx listens for this host alone",
    "certificate_expired": "The certificate has expired",
    "certificate_not_yet_valid": "The certificate is not valid yet",
    "certificate_wrong_name": "The certificate is for another name",
    "certificate_chain": "The certificate's chain is incomplete",
    "certificate_self_signed": "The certificate is self-signed",
    "certificate_expiring": "The certificate expires soon",
    "certificate_missing": "The certificate's file is not there",
    "scheme_mismatch": "https is asked where http is served, or the reverse",
    "nginx_missing": "nginx is not installed",
    "nginx_stopped": "nginx is stopped",
    "nginx_port_taken": "Another program has nginx's port",
    "nginx_master_dead": "nginx's master is dead, its workers serve on",
    "nginx_config_broken": "nginx's configuration on disk is broken",
    "nginx_not_reloaded": "nginx does not run what is on disk",
    "cors_refused": "A page of another origin is refused (CORS)",
    "site_missing": "nginx has no such site",
    "site_shadowed": "Another site answers for the name",
    "upgrade_missing": "The route does not pass on WebSocket upgrades",
    "proxy_timeout": "The app answers more slowly than nginx waits",
    "body_too_large": "A request's body is larger than nginx takes",
    "rate_limited": "nginx refuses requests over the route's rate",
    "wrong_upstream": "nginx sends the app's requests elsewhere",
    "upstream_unreachable": "The proxy can't reach the app's host",
    "hosted_unreachable": "A hosted app can't be connected to",
    "upstream_cut": "The app cuts connections before its answer is complete",
    "port_taken": "A stranger has the app's port",
    "wrong_port": "The app listens on another port",
    "loopback_only": "The app listens for its own host alone",
    "not_listening": "The app opens no port",
    "unit_missing": "The app's unit does not exist",
    "release_missing": "Nothing of the app is deployed",
    "service_stopped": "The service is stopped",
    "service_failed": "The service has failed",
    "crash_loop": "The app crashes and is started again",
    "disabled_at_boot": "The service does not start at boot",
    "unit_not_reloaded": "systemd has not read the changed unit",
    "held_by_deploy": "A deploy holds the app",
    "held_by_monitor": "A monitor stops the app",
    "out_of_rotation": "Instances are taken out of rotation",
    "process_stopped": "The app's process is stopped (SIGSTOP)",
    "hung": "The app accepts connections and does not answer",
    "pm2_errored": "PM2 has given the app up",
    "pm2_daemon_gone": "PM2's daemon is gone",
    "pm2_child_stopped": "PM2 says online, and the process is stopped",
    "unhealthy": "The app says that it is not well",
    "websocket_refused": "The app refuses WebSockets",
    "env_missing": "A required environment variable is missing",
    "env_empty": "A required environment variable is empty",
    "build_id_missing": "The Next.js build has no BUILD_ID",
    "dependency_down": "What the app requires does not answer",
    "database_refuses": "The database refuses the app's password",
    "disk_full": "A disk is full",
    "inodes_full": "A file system has no inodes left",
    "read_only": "A file system is read-only",
    "out_of_memory": "The kernel killed it for want of memory",
    "open_files": "The limit of open files is reached",
    "clock_wrong": "The host's clock is wrong",
    "unexplained": "Broken, and none of the known causes shows",
}

# Told once of an app, however many of its instances they befall.
BY_INSTANCE = frozenset(
    (
        "port_taken",
        "wrong_port",
        "loopback_only",
        "not_listening",
        "unit_missing",
        "service_stopped",
        "service_failed",
        "crash_loop",
        "disabled_at_boot",
        "unit_not_reloaded",
        "process_stopped",
        "hung",
        "pm2_errored",
        "pm2_daemon_gone",
        "pm2_child_stopped",
        "unhealthy",
        "out_of_memory",
    )
)

# What an app that is down looks like from each side.
DOWN = (
    "unhealthy",
    "hung",
    "crash_loop",
    "service_failed",
    "not_listening",
    "upstream_cut",
    "websocket_refused",
    "proxy_timeout",
)

_EXPLAINS = {
    "nginx_port_taken": ("nginx_stopped",),
    "nginx_config_broken": ("nginx_stopped", "nginx_not_reloaded"),
    "certificate_missing": ("nginx_config_broken",),
    "clock_wrong": ("certificate_not_yet_valid", "certificate_expired"),
    "certificate_expired": ("certificate_chain", "certificate_self_signed"),
    "certificate_wrong_name": ("certificate_self_signed",),
    "disk_full": DOWN + ("dependency_down", "nginx_config_broken", "nginx_stopped", "pm2_errored", "service_stopped"),
    "inodes_full": DOWN + ("dependency_down", "nginx_config_broken", "nginx_stopped", "pm2_errored", "service_stopped"),
    "read_only": DOWN + ("dependency_down", "pm2_errored"),
    "out_of_memory": DOWN + ("service_stopped", "pm2_errored", "pm2_daemon_gone"),
    "open_files": ("unhealthy", "hung", "upstream_cut", "websocket_refused", "proxy_timeout", "upstream_unreachable"),
    "dependency_down": DOWN + ("database_refuses", "pm2_errored"),
    "database_refuses": DOWN + ("pm2_errored",),
    "env_missing": DOWN + ("pm2_errored", "database_refuses"),
    "env_empty": DOWN + ("pm2_errored", "database_refuses"),
    "build_id_missing": DOWN + ("pm2_errored",),
    "port_taken": (
        "crash_loop",
        "service_failed",
        "not_listening",
        "unhealthy",
        "wrong_port",
        "hung",
        "websocket_refused",
    )
    + ("pm2_errored", "service_stopped"),
    "wrong_port": ("not_listening", "wrong_upstream", "unhealthy"),
    "process_stopped": ("hung", "proxy_timeout", "unhealthy", "websocket_refused"),
    "pm2_child_stopped": ("process_stopped", "hung", "proxy_timeout", "unhealthy", "websocket_refused"),
    "pm2_errored": ("not_listening", "unhealthy"),
    "pm2_daemon_gone": ("service_stopped", "service_failed", "not_listening"),
    "held_by_deploy": ("service_stopped",),
    "held_by_monitor": ("service_stopped", "not_listening"),
    "release_missing": ("unit_missing", "not_listening", "unexplained"),
    "unit_missing": ("not_listening", "service_stopped", "service_failed"),
    "service_stopped": ("not_listening",),
    "service_failed": ("not_listening",),
    "crash_loop": ("not_listening", "unhealthy", "hung", "upstream_cut"),
    "hung": ("proxy_timeout",),
    "unhealthy": ("websocket_refused",),
    "loopback_only": ("upstream_unreachable",),
}

# {a cause: the causes that it may be nothing but a consequence of}
EXPLAINED_BY = {
    cause: tuple(other for other in _EXPLAINS if cause in _EXPLAINS[other])
    for cause in CAUSES
    if any(cause in explained for explained in _EXPLAINS.values())
}
