#!/usr/bin/env bash
# Makes the secrets that compose.yaml and the Kubernetes example take, each in a
# file of its own: an authority and certificates, passwords, the master key.
#
#   deployments/secrets.sh DIRECTORY
#
# It makes them once: new ones would lock you out of what is stored under the old.
# MONGODB is the address of the database for reporting when it is not the one of
# compose.yaml; "PASSWORD" in it is replaced.
set -euo pipefail
umask 077

dir=${1:?"name a directory: deployments/secrets.sh DIRECTORY"}
mongodb=${MONGODB:-mongodb://onrecord:PASSWORD@mongo-1:27017,mongo-2:27017,mongo-3:27017/onrecord?replicaSet=onrecord&authSource=onrecord&tls=true&tlsCAFile=/run/secrets/ca.pem}
command -v openssl >/dev/null || { echo "secrets.sh: openssl is needed" >&2; exit 1; }
mkdir -p "$dir"
if [ -n "$(ls -A "$dir")" ]; then
  echo "secrets.sh: $dir is not empty: secrets are made once" >&2
  exit 1
fi
cd "$dir"

# It begins with a letter: NATS would take digits for a number.
password() { echo "p$(openssl rand -hex 24)"; }

# certificate NAME ALTERNATIVES: signed by our authority, for servers and clients
certificate() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/O=On Record/CN=$1" -keyout "$1-key.pem" -out "$1.csr" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 825 -out "$1.pem" 2>/dev/null \
    -extfile <(printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=%s\n' "$2")
  rm "$1.csr"
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/O=On Record/CN=On Record authority" \
  -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout ca-key.pem -out ca.pem 2>/dev/null
certificate nats "DNS:nats,DNS:nats-1,DNS:nats-2,DNS:nats-3,DNS:*.nats,DNS:*.nats.onrecord.svc,DNS:*.nats.onrecord.svc.cluster.local,DNS:nats.onrecord.svc,DNS:nats.onrecord.svc.cluster.local,DNS:localhost,IP:127.0.0.1"
certificate mongo "DNS:mongo-1,DNS:mongo-2,DNS:mongo-3,DNS:localhost,IP:127.0.0.1"
certificate proxy "DNS:localhost,IP:127.0.0.1"
for user in intake classifier reporting admin; do certificate $user "DNS:$user"; done
rm ca.srl

openssl rand -base64 32 >master.key
openssl rand -base64 756 >mongo.keyfile
cat mongo.pem mongo-key.pem >mongo-both.pem
password >mongo-root.password
password >mongo-onrecord.password

# What the NATS servers read from their environment.
echo "NATS_STORE_KEY=k$(openssl rand -hex 32)" >nats.env
for user in intake classifier reporting admin; do
  secret=$(password)
  echo "NATS_${user^^}_PASSWORD=$secret" >>nats.env
  { echo "nats-user: $user"; echo "nats-password: $secret"; } >$user.conf
done
for user in intake classifier reporting; do echo "master-key: $(cat master.key)" >>$user.conf; done
echo "database: ${mongodb/PASSWORD/$(cat mongo-onrecord.password)}" >>reporting.conf

# Containers read them as whoever made them, or as “nonroot” when that was root.
user=$(id -u):$(id -g)
if [ "$(id -u)" = 0 ]; then
  user=65532:65532
  chown -R $user .
fi
echo "ONRECORD_USER=$user" >compose.env

cat <<END
Secrets are in $dir.
Keep master.key apart from everything else, in two places: without it nothing people wrote can be read.
Move ca-key.pem away from here: it is needed for new certificates only, in 825 days.
END
