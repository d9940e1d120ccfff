#!/bin/sh
# A root, an intermediate that issues, and the certificates of the ACME server itself and of a site.
set -eu
cd /opt/acme
issue() { # NAME SUBJECT ISSUER EXTENSION...
    name=$1 subject=$2 issuer=$3
    shift 3
    printf '%s\n' subjectKeyIdentifier=hash authorityKeyIdentifier=keyid "$@" >"$name.ext"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$name.key" -subj "$subject" -out "$name.csr" 2>/dev/null
    openssl x509 -req -in "$name.csr" -days 30 -CA "$issuer.pem" -CAkey "$issuer.key" -CAcreateserial -extfile "$name.ext" -out "$name.pem" 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -keyout root.key -subj '/CN=Test Root' -addext keyUsage=critical,keyCertSign,cRLSign -out root.pem 2>/dev/null
issue issuing '/CN=Test Issuing CA' root basicConstraints=critical,CA:true keyUsage=critical,keyCertSign,cRLSign
issue server /CN=acme.example.com root subjectAltName=DNS:acme.example.com
issue own /CN=own.example.com issuing basicConstraints=CA:false extendedKeyUsage=serverAuth subjectAltName=DNS:own.example.com \
    authorityInfoAccess=OCSP\;URI:http://127.0.0.1:14002
# What its OCSP responder knows.
printf 'V\t991231235959Z\t\t%s\tunknown\t/CN=own.example.com\n' "$(openssl x509 -noout -serial -in own.pem | cut -d= -f2)" >index.txt
mkdir -p issued
: >issuing.crl # its place must be there; nothing is revoked
