#!/bin/sh
# Make this host that of the proxy benchmark: its certificate, its files, and every side but ours. Run once, as root.
set -eu
cd /etc/bench
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --quiet --yes --no-install-recommends caddy curl haproxy openssl slowhttptest wrk
systemctl stop haproxy caddy

echo 127.0.0.1 bench.example.com >> /etc/hosts
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=bench.example.com -addext subjectAltName=DNS:bench.example.com \
    -keyout bench.key -out bench.pem
cat bench.pem bench.key > both.pem
chown caddy bench.key
# As a deploy leaves it: the live release is the blue one.
mkdir -p /srv/bench/releases/1
ln -s releases/1 /srv/bench/current
mkdir /srv/bench/static
head -c 20000 /dev/urandom > /srv/bench/static/picture.png

# The tutorial's site is on Debian's own nginx.conf, which our role is going to replace.
mkdir sites
mv tutorial.conf sites
sed -e 's|/run/nginx.pid|/run/bench-tutorial.pid|' -e 's|/var/log/nginx/|&bench-|' \
    -e 's|/etc/nginx/sites-enabled/|/etc/bench/sites/|' /etc/nginx/nginx.conf > tutorial.conf

cat /etc/haproxy/haproxy.cfg haproxy.cfg > logging.cfg
cp logging.cfg /etc/haproxy/haproxy.cfg
sed -e '/^\s*log/d' -e '/stats socket/d' -e 's/:8103/:8105/' -e 's/:8203/:8205/' logging.cfg > quiet.cfg
sed -e 's|/run/haproxy|/run/bench-quiet|' -e 's|/etc/haproxy/haproxy.cfg|/etc/bench/quiet.cfg|' \
    /lib/systemd/system/haproxy.service > /etc/systemd/system/bench-quiet.service

cp Caddyfile /etc/caddy/Caddyfile

service() {
    printf '[Service]\nType=exec\nExecStart=%s\nLimitNOFILE=%s\n' "$2" "$3" > "/etc/systemd/system/$1.service"
}
# As many files as a service of Debian has, but for those that must not be the limit.
service bench-tutorial '/usr/sbin/nginx -c /etc/bench/tutorial.conf -g "daemon off;"' 1024
service bench-geerlingguy '/usr/sbin/nginx -c /etc/bench/geerlingguy.conf -g "daemon off;"' 1024
service bench-backend '/usr/sbin/nginx -c /etc/bench/backend.conf -g "daemon off;"' 20000
service bench-echo '/usr/bin/python3 /etc/bench/_echo.py serve 9000' 20000
systemctl daemon-reload
systemctl start bench-backend bench-echo bench-tutorial bench-geerlingguy haproxy bench-quiet caddy
