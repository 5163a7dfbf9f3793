#!/bin/sh
# Makes the certificates that tests use, with openssl, valid for a hundred years: they are committed, so that tests need no
# openssl. Their keys protect nothing.
#
#     ca.pem        vouches for server.pem (localhost, 127.0.0.1), renewed.pem (the same, another key) and client.pem (CN=anna)
#     stranger.pem  says CN=anna too, but only another authority vouches for it, other-ca.pem
set -eu
cd "$(dirname "$0")/../test/certificates"

authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj "/CN=$2" \
    -addext 'basicConstraints=critical,CA:TRUE' -keyout "$1.key" -out "$1.pem"
}

certificate() {
  name=$1 subject=$2 names=$3 ca=$4
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$subject" -keyout "$name.key" -out "$name.csr"
  printf 'subjectAltName=%s\n' "$names" > "$name.ext"
  openssl x509 -req -in "$name.csr" -CA "$ca.pem" -CAkey "$ca.key" -CAcreateserial -days 36500 -extfile "$name.ext" -out "$name.pem"
  rm "$name.csr" "$name.ext"
}

authority ca 'Leveret test authority'
authority other-ca 'Another test authority'
certificate server /CN=localhost DNS:localhost,IP:127.0.0.1 ca
certificate renewed /CN=localhost DNS:localhost,IP:127.0.0.1 ca
certificate client /O=Burrow/OU=Tests/CN=anna email:anna@example.org,DNS:anna.example.org ca
certificate stranger /CN=anna DNS:anna.example.org other-ca
rm -f ca.key ca.srl other-ca.key other-ca.srl
