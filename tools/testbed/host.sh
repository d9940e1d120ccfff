#!/bin/sh
# Turns a base image into a test host: what a usual server image has, and what the roles install, so that a scenario
# starts in seconds. Runs once, as root. Nothing that it installs starts at boot: a scenario begins with an idle host.
set -eu
export DEBIAN_FRONTEND=noninteractive

printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get update -q
apt-get install -q -y --no-install-recommends \
    acl ca-certificates certbot curl dbus git iproute2 iptables iputils-ping kmod less libnginx-mod-http-brotli-filter \
    libnginx-mod-http-brotli-static logrotate mariadb-server nginx nodejs npm openssh-server \
    openssl procps python3 python3-apt python3-pip python3-pymysql python3-venv rsync sqlite3 sudo systemd systemd-sysv ufw
apt-get clean
rm /usr/sbin/policy-rc.d

systemctl disable nginx.service mariadb.service ssh.service ssh.socket
# They hold the package lock at times of their own.
systemctl mask apt-daily.timer apt-daily-upgrade.timer

if [ -f /tmp/ca-bundle.crt ]; then
    # The machine reaches the network through authorities of its own, and so does the host. The image's environment names
    # the bundle for tools that bring their own list; sudo has to hand that on.
    cat /tmp/ca-bundle.crt >/etc/ssl/certs/ca-certificates.crt
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >/etc/pip.conf
    echo 'Defaults env_keep += "SSL_CERT_FILE NODE_EXTRA_CA_CERTS"' >/etc/sudoers.d/ca-bundle
fi
